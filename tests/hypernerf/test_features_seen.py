"""The mean and the maximum of features that views show at points, against a loop over points, views and pixels in float64."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.ops import features_seen
from hypernerf.types import Cameras
from tests.hypernerf.test_colors_seen import scenes_of

TOLERANCE = 2e-5  # relative to the largest value


def double(cameras):
    poses, intrinsics = cameras.camera_to_world.double(), cameras.intrinsics.double()
    return dataclasses.replace(cameras, camera_to_world=poses, intrinsics=intrinsics)


def by_loops(maps, cameras, points, shift):
    """[scene, view, channel, place]; differentiable in maps."""
    height, width = maps.shape[3:]
    result = []
    for s, views in enumerate(maps):
        for v, image in enumerate(views):
            pose = cameras.camera_to_world[s, v]
            fx, fy, cx, cy = cameras.intrinsics[s, v].tolist()
            for point in points:
                value = 0 * image.sum((1, 2))
                x, y, depth = (pose[:3, :3].T @ (point - pose[:3, 3])).tolist()
                if depth > 1e-3:
                    column = ((fx * x / depth + cx) / cameras.width + shift[0]) * width - 0.5
                    row = ((fy * y / depth + cy) / cameras.height + shift[1]) * height - 0.5
                    for r in (math.floor(row), math.floor(row) + 1):
                        for c in (math.floor(column), math.floor(column) + 1):
                            if 0 <= r < height and 0 <= c < width:
                                value = value + (1 - abs(row - r)) * (1 - abs(column - c)) * image[:, r, c]
                result.append(value)
    return torch.stack(result).view(*maps.shape[:2], len(points), -1).transpose(2, 3)


def close(found, right):
    return (found.double() - right).abs().max() <= TOLERANCE * right.abs().max().clamp_min(1)


def example(scenes, views, channels, height, width, places, seed):
    context = scenes_of(scenes, views, 12, 10, seed)  # maps are coarser than images
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(scenes, views, channels, height, width, generator=generator).relu()  # many places hold 0 in every view
    return maps, context.cameras, 2 * torch.rand(places, 3, generator=generator) - 1


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@given(
    scenes=st.integers(1, 2), views=st.integers(1, 4), channels=st.sampled_from([3, 16, 32, 48, 64]), height=st.integers(1, 5),
    width=st.integers(1, 5), places=st.integers(1, 70), seed=st.integers(0, 1000),
    shift=st.sampled_from([(0.0, 0.0), (0.1, -0.05)]),
)  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_values_and_gradients_are_those_of_loops(backend, scenes, views, channels, height, width, places, seed, shift):
    maps, cameras, points = example(scenes, views, channels, height, width, places, seed)
    exact, maps = maps.double().requires_grad_(), maps.requires_grad_()
    each = by_loops(exact, double(cameras), points.double(), shift)
    right = (each.mean(1), each.amax(1))
    found = features_seen(maps, cameras, points, shift, backend)
    assert all(one.shape == other.shape and close(one, other) for one, other in zip(found, right, strict=True))
    generator = torch.Generator().manual_seed(seed)
    above = [torch.randn(one.shape, generator=generator) for one in found]
    if views > 1:  # rounding may say which of two that are nearly equal has the maximum's gradient
        first, second = each.detach().topk(2, dim=1).values.unbind(1)
        above[1][first - second < 1e-4] = 0
    (gradient,) = torch.autograd.grad(found, maps, above)
    (exact_gradient,) = torch.autograd.grad(right, exact, [one.double() for one in above])
    assert close(gradient, exact_gradient)


def test_views_that_are_equally_the_largest_share_the_gradient():
    maps, cameras, points = example(1, 3, 16, 4, 4, 40, 0)
    maps = torch.zeros_like(maps).requires_grad_()
    points = points * 0.1  # which every view shows well inside
    for backend in ("torch", "cpu"):
        _, most = features_seen(maps, cameras, points, backend=backend)
        (gradient,) = torch.autograd.grad(most.sum(), maps)
        assert gradient.sum((0, 2, 3, 4)).tolist() == pytest.approx([most.numel() / 3] * 3, rel=1e-4)


def test_any_number_of_threads_gives_the_same_gradient():
    maps, cameras, points = example(3, 2, 16, 8, 8, 3000, 1)
    maps.requires_grad_()
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            mean, most = features_seen(maps, cameras, points, backend="cpu")
            found.append(torch.autograd.grad((mean * most).sum(), maps)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_points_that_no_number_says_are_shown_by_no_view():
    maps, cameras, _ = example(1, 2, 16, 4, 4, 1, 0)
    points = torch.tensor([[math.nan, 0, 0], [math.inf, 0, 0], [1e30, -1e30, 1e30]])
    mean, most = features_seen(maps, cameras, points, backend="cpu")
    assert not mean.any() and not most.any()


def test_no_points_are_shown_nothing():
    maps, cameras, points = example(2, 2, 16, 4, 4, 5, 0)
    mean, most = features_seen(maps.requires_grad_(), cameras, points[:0], backend="cpu")
    (gradient,) = torch.autograd.grad(mean.sum() + most.sum(), maps)
    assert mean.shape == most.shape == (2, 16, 0) and not gradient.any()


def test_cameras_that_do_not_fit_are_refused():
    maps, cameras, points = example(1, 2, 16, 4, 4, 5, 0)
    with pytest.raises(ValueError, match="do not fit together"):
        features_seen(maps, Cameras(cameras.camera_to_world[:, :1], cameras.intrinsics[:, :1], 12, 10), points, backend="cpu")


@pytest.mark.parametrize("number", [math.nan, -math.inf])
@pytest.mark.parametrize("view", [0, 1])
def test_numbers_that_are_none_are_not_passed_over(number, view):
    maps, cameras, points = example(1, 2, 16, 4, 4, 9, 0)
    maps[0, view] = number
    found, right = (features_seen(maps, cameras, 0.1 * points, backend=name) for name in ("cpu", "torch"))
    assert right[0].isnan().any() or right[0].isinf().any()
    for one, other in zip(found, right, strict=True):
        assert torch.allclose(one, other, atol=TOLERANCE, equal_nan=True)


def test_points_have_gradients_where_they_are_asked_for():
    maps, cameras, points = example(1, 2, 16, 4, 4, 5, 0)
    points.requires_grad_()
    mean, most = features_seen(maps, cameras, points, backend="cpu")
    (gradient,) = torch.autograd.grad(mean.sum() + most.sum(), points)
    assert gradient.abs().sum() > 0
