"""The rendering kernel against the same quadrature in torch, run by Triton's interpreter where there is no GPU."""

import os

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are first imported
pytest.importorskip("triton")

from hypernerf.fields import FieldSpec, FieldWeights, initial_weights, radiance_field  # noqa: E402
from hypernerf.geometry import camera_rays, intersect_sphere, ray_points  # noqa: E402
from hypernerf.ops import composite, volume_weights  # noqa: E402
from hypernerf.rendering import OccupancyGrid  # noqa: E402
from hypernerf.rendering.fused import render_fused  # noqa: E402
from hypernerf.types import InputError, RayBundle  # noqa: E402
from tests.conftest import orbit  # noqa: E402

SAMPLES = 7
TOLERANCE = 2e-2 if DEVICE == "cuda" else 2e-3  # the light that is left where a ray stops is a thousandth


@pytest.mark.parametrize("grids", [{}, {"plane_resolution": 5, "plane_channels": 3, "volume_resolution": 3}])
def test_pixels_agree_with_the_quadrature(grids):
    spec = FieldSpec(width=16, depth=2, position_frequencies=2, **grids)
    generator = torch.Generator().manual_seed(0)
    base = initial_weights(spec, generator)
    weights = FieldWeights(
        spec,
        {name: (value + 0.7 * torch.randn(value.shape, generator=generator))[None].to(DEVICE) for name, value in base.items()},
    )
    rays = camera_rays(orbit(1, size=6).to(DEVICE))
    rays = RayBundle(rays.origins.reshape(1, -1, 3), rays.directions.reshape(1, -1, 3))
    cells = (torch.rand(1, 4, 4, 4, generator=generator) < 0.6).to(DEVICE)
    background = torch.tensor([[0.2, 0.5, 1.0]], device=DEVICE)
    seen = render_fused(weights, rays, background, SAMPLES, OccupancyGrid(cells))

    near, far = intersect_sphere(rays)
    length = ((far - near) / SAMPLES)[..., None].expand(-1, -1, SAMPLES)
    distances = near[..., None] + length * (torch.arange(SAMPLES, device=DEVICE) + 0.5)
    points = ray_points(rays, distances)
    output = radiance_field(points.flatten(1, 2), None, weights, "torch")
    full = OccupancyGrid(cells).lookup(points)
    share = volume_weights(output.density.reshape(full.shape) * full, length)
    color = composite(share, output.color.reshape(*full.shape, 3)) + (1 - share.sum(-1))[..., None] * background[:, None]
    assert (seen.color - color).abs().max() < TOLERANCE and (seen.opacity - share.sum(-1)).abs().max() < TOLERANCE
    depth = torch.where(seen.opacity > 0.5, (share * distances).sum(-1) / share.sum(-1).clamp_min(1e-6), 0.0)
    assert (seen.depth - depth).abs().max() < 5 * TOLERANCE
    assert seen.opacity.max() > 0.9 and not full.all()


def test_a_field_that_sees_directions_is_refused():
    spec = FieldSpec(width=16, depth=1, direction_frequencies=1)
    weights = FieldWeights(spec, {name: value[None].to(DEVICE) for name, value in initial_weights(spec).items()})
    rays = RayBundle(*torch.zeros(2, 1, 1, 3, device=DEVICE))
    with pytest.raises(InputError, match="direction_frequencies"):
        render_fused(weights, rays, torch.ones(1, 3), 4, OccupancyGrid(torch.ones(1, 2, 2, 2, dtype=torch.bool)))
