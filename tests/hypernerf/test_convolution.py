"""Convolutions with channels last, and of one volume as images are, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hypernerf.models.convolution import Convolution2d, Convolution3d


@pytest.mark.parametrize("scenes", [1, 2])
@pytest.mark.parametrize(
    ("kernel", "padding", "bias"), [(3, 1, True), (3, 0, False), ((3, 5, 1), (1, 2, 0), True), ((1, 3, 3), (2, 1, 1), True)]
)
def test_it_is_torchs_convolution_with_its_gradients(scenes, kernel, padding, bias):
    torch.manual_seed(0)
    ours = Convolution3d(3, 4, kernel, padding=padding, bias=bias).double()
    volumes = torch.randn(scenes, 3, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    right = nn.functional.conv3d(volumes, ours.weight, ours.bias, padding=padding)
    compare(ours(volumes), right, [volumes, *ours.parameters()])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("kernel", "stride", "padding", "bias"), [(3, 1, 1, True), (5, 4, 2, True), (1, 1, 0, False)])
def test_images_are_convolved_as_torch_does_it(kernel, stride, padding, bias, dtype):
    torch.manual_seed(0)
    ours = Convolution2d(3, 8, kernel, stride=stride, padding=padding, bias=bias).to(dtype)
    images = torch.randn(2, 3, 12, 16, dtype=dtype, requires_grad=True)
    right = nn.functional.conv2d(images, ours.weight, ours.bias, stride=stride, padding=padding)
    compare(ours(images), right, [images, *ours.parameters()], 1e-12 if dtype == torch.float64 else 1e-5)


def compare(found, right, asked, tolerance=1e-12):
    """Outputs, and gradients of what is asked."""
    assert found.shape == right.shape
    torch.testing.assert_close(found, right, rtol=tolerance, atol=tolerance)
    slope = torch.randn_like(right)
    for mine, torchs in zip(torch.autograd.grad(found, asked, slope), torch.autograd.grad(right, asked, slope), strict=True):
        torch.testing.assert_close(mine, torchs, rtol=tolerance, atol=tolerance)


def test_its_parameters_are_those_of_a_convolution():
    plain = nn.Conv3d(2, 3, 3, padding=1)
    ours = Convolution3d(2, 3, 3, padding=1)
    ours.load_state_dict(plain.state_dict())
    volumes = torch.randn(1, 2, 4, 4, 4)
    torch.testing.assert_close(ours(volumes), plain(volumes))
