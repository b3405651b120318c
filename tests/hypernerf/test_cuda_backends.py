"""tiny-cuda-nn and nerfacc against our own code. What needs a GPU is skipped without one; what does not is tested everywhere."""

from itertools import pairwise

import pytest
import torch

from hypernerf.geometry import camera_rays
from hypernerf.ops import batched_mlp
from hypernerf.ops._nerfacc import grid_crossings
from hypernerf.rendering import render_rays, scene_occupancy
from hypernerf.rendering.packed import places, render_packed
from hypernerf.types import InputError, RayBundle
from tests.conftest import ball, orbit


@pytest.mark.parametrize("name", ["triton", "tinycudann"])
def test_a_backend_that_cannot_run_says_what_to_do(name, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    place = torch.zeros(1, 1, 4, device="meta")
    with pytest.raises(InputError, match=f"backend '{name}': .*or choose auto or torch"):
        batched_mlp(place, [torch.zeros(1, 16, 4, device="meta"), torch.zeros(1, 4, 16, device="meta")], name)


def test_packed_samples_without_a_gpu_are_an_error():
    weights = ball()
    rays = RayBundle(torch.zeros(1, 1, 3), torch.tensor([[[0.0, 0, 1]]]))
    with pytest.raises(InputError, match=r"packed samples: nerfacc.*on a GPU, not on cpu"):
        render_packed(weights, rays, torch.ones(1, 3), scene_occupancy(weights, 8))


def test_packed_samples_stand_in_their_scenes_row():
    place, most = places(torch.tensor([0, 0, 2, 2, 2]), 3)
    assert most == 3 and place.tolist() == [0, 1, 6, 7, 8]


def test_a_ray_crosses_its_own_grid_alone():
    own, near, far = torch.tensor([2, 0]), torch.tensor([1.0, 1.5]), torch.tensor([2.0, 2.5])
    hits, distances, order = grid_crossings(own, near, far, 3)
    assert hits.tolist() == [[False, False, True], [True, False, False]]
    assert torch.equal(distances[:, :2], torch.stack([near, far], 1)) and distances[:, 2:].isinf().all()
    assert order.tolist() == [[2, 5, 0, 1, 3, 4], [0, 3, 1, 2, 4, 5]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("points", "sizes"), [(1000, (63, 64, 64, 4)), (7, (16, 128, 1))])
def test_tinycudann_agrees_with_the_reference(points, sizes):
    pytest.importorskip("tinycudann", exc_type=OSError)
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(3, points, sizes[0], generator=generator)]
    tensors += [torch.randn(3, o, i, generator=generator) / i**0.5 for i, o in pairwise(sizes)]
    results = []
    for backend, dtype, device in (("tinycudann", torch.float32, "cuda"), ("torch", torch.float64, "cpu")):
        inputs = [t.to(device, dtype).requires_grad_() for t in tensors]
        output = batched_mlp(inputs[0], inputs[1:], backend)
        results.append([output, *torch.autograd.grad(output.square().mean(), inputs)])
    for found, right in zip(*results, strict=True):
        assert (found.cpu().double() - right).norm() < 1e-2 * right.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_packed_samples_show_the_same_ball():
    pytest.importorskip("nerfacc")
    weights = ball(density=40.0).map(lambda t: t.cuda())
    rays = camera_rays(orbit(1).to("cuda"))
    rays = RayBundle(rays.origins.reshape(1, -1, 3), rays.directions.reshape(1, -1, 3))
    occupancy, white = scene_occupancy(weights, 32), torch.ones(1, 3, device="cuda")
    packed, dense = render_packed(weights, rays, white, occupancy, 0.005), render_rays(weights, rays, white, 512, occupancy)
    assert (packed.color - dense.color).abs().mean() < 0.01 and (packed.opacity - dense.opacity).abs().mean() < 0.01
