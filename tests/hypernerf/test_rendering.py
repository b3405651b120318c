import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.fields import FieldWeights, radiance_field
from hypernerf.geometry import camera_rays, intersect_sphere, ray_points
from hypernerf.ops.march import cells_along
from hypernerf.rendering import (
    OccupancyGrid,
    RenderSettings,
    UnionOccupancy,
    render_rays,
    render_views,
    sample_occupied,
    scene_occupancy,
)
from hypernerf.rendering.occupancy import dilated, grid_density
from hypernerf.types import Cameras, RayBundle
from tests.conftest import ball, orbit


def test_samples_lie_in_the_sphere_and_their_lengths_fill_it():
    rays = camera_rays(orbit(2))
    rays = RayBundle(rays.origins.reshape(2, -1, 3), rays.directions.reshape(2, -1, 3))
    samples = sample_occupied(rays, 8, jitter=torch.rand(2, rays.origins.shape[1], 8))
    near, far = intersect_sphere(rays)
    assert torch.allclose(samples.lengths.sum(-1), far - near, atol=1e-5)
    assert (samples.distances >= near[..., None] - 1e-5).all() and (samples.distances <= far[..., None] + 1e-5).all()
    assert (samples.distances.diff(dim=-1) >= 0).all()


def test_samples_skip_what_is_empty():
    cells = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    cells[:, 4:] = True  # z > 0
    rays = RayBundle(torch.tensor([[[0.1, 0.1, -3.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
    samples = sample_occupied(rays, 16, OccupancyGrid(cells), bins=64)
    points = ray_points(rays, samples.distances)
    assert (points[..., 2] > -0.02).all()
    assert samples.lengths.sum().item() == pytest.approx(math.sqrt(1 - 0.02), abs=0.04)
    nothing = sample_occupied(rays, 16, OccupancyGrid(torch.zeros(1, 8, 8, 8, dtype=torch.bool)))
    assert (nothing.lengths == 0).all() and torch.isfinite(nothing.distances).all()


@pytest.mark.parametrize("scenes", [1, 3])
def test_cells_along_rays_are_those_of_their_points(scenes):
    generator = torch.Generator().manual_seed(0)
    cells = torch.rand(scenes, 5, 5, 5, generator=generator) < 0.5
    origins, directions = torch.randn(2, 3, 40, 3, generator=generator)
    rays = RayBundle(origins, torch.nn.functional.normalize(directions, dim=-1))
    distances = torch.rand(3, 40, 7, generator=generator) * 4
    points, grid = ray_points(rays, distances), OccupancyGrid(cells)
    assert torch.equal(cells_along(cells, rays, distances), grid.lookup(points))
    where = ((points + 1) / 2 * 5).long().clamp(0, 4)
    for scene, ray, sample in ((0, 0, 0), (1, 20, 3), (2, 39, 6)):
        x, y, z = where[scene, ray, sample].tolist()
        assert grid.lookup(points)[scene, ray, sample] == cells[scene % scenes, z, y, x]


def test_points_that_are_no_numbers_or_far_away_have_a_cell():
    cells = torch.zeros(1, 4, 4, 4, dtype=torch.bool)
    cells[:, :, :, 3] = True  # x > 1/2
    points = torch.tensor([[[torch.nan] * 3, [torch.inf, 0, 0], [-torch.inf, 0, 0], [1e30, 1e30, 1e30], [-1e30, 0, 0]]])
    assert OccupancyGrid(cells).lookup(points)[0, 1:].tolist() == [True, False, True, False]


@given(size=st.integers(1, 6), seed=st.integers(0, 99))
@settings(deadline=None)
def test_a_dilated_grid_has_all_neighbors(size, seed):
    occupied = torch.rand(2, size, size, size, generator=torch.Generator().manual_seed(seed)) < 0.1
    pooled = torch.nn.functional.max_pool3d(occupied[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0
    assert torch.equal(dilated(occupied).cells, pooled)


def test_a_camera_that_looks_away_sees_the_background():
    away = orbit(1, 8)
    turned = away.camera_to_world.clone()
    turned[..., :3, 1:3] *= -1  # half a turn about the camera's own x axis
    looking = Cameras(turned, away.intrinsics, away.height, away.width)
    seen = render_views(ball(), looking, torch.tensor([0.1, 0.5, 0.9]))
    assert torch.equal(seen.color, torch.tensor([0.1, 0.5, 0.9]).expand(1, 8, 8, 3)) and (seen.opacity == 0).all()


def test_rendering_agrees_with_a_loop_in_float64(random_field):
    rays = RayBundle(torch.tensor([[[0.2, -0.1, -2.0], [0.0, 0.3, -2.0]]]), torch.tensor([[[0.0, 0.0, 1.0]] * 2]))
    output = render_rays(random_field, rays, torch.tensor([[0.2, 0.4, 0.6]]), samples=12)
    doubles = FieldWeights(random_field.spec, {n: v.double() for n, v in random_field.tensors.items()})
    for number in range(2):
        origin = rays.origins[0, number].double()
        half = math.sqrt(1 - float(origin[:2].square().sum()))
        color, light = torch.zeros(3, dtype=torch.float64), 1.0
        for i in range(12):
            distance = 2 - half + 2 * half * (i + 0.5) / 12
            point = origin + distance * rays.directions[0, number].double()
            here = radiance_field(point[None, None], None, doubles)
            opacity = 1 - math.exp(-float(here.density) * 2 * half / 12)
            color += light * opacity * here.color[0, 0]
            light *= 1 - opacity
        color += light * torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64)
        assert torch.allclose(output.color[0, number].double(), color, atol=1e-5)
        assert output.opacity[0, number].item() == pytest.approx(1 - light, abs=1e-5)


def test_a_ball_is_round_and_as_deep_as_it_is_far():
    weights = ball(radius=0.5)
    cameras = orbit(3, 48)
    output = render_views(weights, cameras, torch.ones(3), RenderSettings(samples=96))
    solid = output.opacity > 0.5
    # the silhouette of a ball of radius r at distance d is a disc of angle asin(r / d) about the center
    sine = math.sqrt(solid.float().mean().item() * 48**2 / math.pi) * 2 / 48 * math.tan(math.radians(22.5))
    assert math.sin(math.atan(sine)) * 2.613 == pytest.approx(0.55, abs=0.08)
    assert output.depth[0, 24, 24].item() == pytest.approx(2.613 - 0.5, abs=0.1)
    assert torch.equal(output.color[:, 0, 0], torch.ones(3, 3)) and (output.depth[~solid] == 0).all()


def test_skipping_empty_space_changes_no_picture():
    weights, cameras = ball(0.4), orbit(2, 32)
    every = camera_rays(cameras)
    rays = RayBundle(every.origins.reshape(1, -1, 3), every.directions.reshape(1, -1, 3))
    dense = render_rays(weights, rays, torch.ones(1, 3), samples=512).color.reshape(2, 32, 32, 3)
    sparse = render_views(weights, cameras, torch.ones(3), RenderSettings(samples=96)).color
    assert -10 * torch.log10((dense - sparse).square().mean()) > 40
    assert scene_occupancy(weights).cells.float().mean() < 0.25


def test_the_union_grid_forgets_what_is_empty_and_keeps_what_is_not():
    union, generator = UnionOccupancy(16), torch.Generator().manual_seed(0)
    assert union.grid().cells.all()
    for _ in range(60):
        union.update(grid_density(ball(0.4), union.points(generator)).amax(0))
    cells = union.grid().cells[0]
    assert cells[8, 8, 8] and not cells[0, 0, 0] and 0.02 < cells.float().mean() < 0.4
