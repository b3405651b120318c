"""What views show at points, taken together, against a loop over points, views and pixels in float64."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.geometry import look_at
from hypernerf.ops import FOREGROUND, colors_seen
from hypernerf.types import Cameras, ContextViews

TOLERANCE = 2e-5  # of values up to 2; of deviations, whose root takes the error of a square near 0 along, ten times that


def scenes_of(scenes, views, height, width, seed):
    """Cameras from 0.5 to 3 away, so that some points are behind one, or beside what it sees."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.nn.functional.normalize(torch.randn(scenes, views, 3, generator=generator), dim=-1)
    distances = 0.5 + 2.5 * torch.rand(scenes, views, 1, generator=generator)
    poses = look_at(places * distances, torch.zeros(3), torch.tensor([0.0, 0, 1]))
    size = torch.tensor([width, height]).float()
    focal = (0.7 + torch.rand(scenes, views, 2, generator=generator)) * size
    center = (0.4 + 0.2 * torch.rand(scenes, views, 2, generator=generator)) * size
    cameras = Cameras(poses, torch.cat([focal, center], dim=-1), height, width)
    images = torch.rand(scenes, views, height, width, 3, generator=generator)
    background = torch.rand(scenes, 3, generator=generator)
    near = images < 0.5  # as photographs have: close to the background, and so less than certain foreground
    return ContextViews(torch.where(near, background[:, None, None, None] + images * 0.1, images), cameras, background)


def by_loops(context, points):
    """Values [scene, place, 8], and how near a point is to where it would leave an image, or come before a camera."""
    images, backgrounds = context.images.double(), context.background.double()
    height, width = context.cameras.height, context.cameras.width
    result = torch.zeros(len(images), len(points), 8, dtype=torch.float64)
    margin = torch.full(result.shape[:2], math.inf, dtype=torch.float64)
    for s, views in enumerate(images):
        for p, point in enumerate(points.double()):
            values, inside = [], 0
            for v, image in enumerate(views):
                pose = context.cameras.camera_to_world[s, v].double()
                fx, fy, cx, cy = context.cameras.intrinsics[s, v].double().tolist()
                x, y, depth = (pose[:3, :3].T @ (point - pose[:3, 3])).tolist()
                margin[s, p] = min(margin[s, p], abs(depth - 1e-3))
                value = torch.zeros(4, dtype=torch.float64)
                if depth > 1e-3:
                    column, row = fx * x / depth + cx, fy * y / depth + cy
                    inside += 0 < column < width and 0 < row < height
                    margin[s, p] = min(margin[s, p], *map(abs, (column, row, width - column, height - row)))
                    left, above = math.floor(column - 0.5), math.floor(row - 0.5)
                    for r in (above, above + 1):
                        for c in (left, left + 1):
                            if 0 <= r < height and 0 <= c < width:
                                color = image[r, c]
                                sure = min(1.0, float((color - backgrounds[s]).abs().max()) / FOREGROUND)
                                share = (1 - abs(column - 0.5 - c)) * (1 - abs(row - 0.5 - r))
                                value += share * torch.cat([color * 2 - 1, torch.tensor([sure - 1]).double()])
                values.append(value)
            every = torch.stack(values)
            mean = every[:, :3].mean(0)
            deviation = ((every[:, :3] - mean).square().mean(0) + 1e-6).sqrt()
            result[s, p] = torch.cat([mean, deviation, every[:, 3:].amin(0), torch.tensor([inside / len(views)]).double()])
    return result, margin


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@given(
    scenes=st.integers(1, 2), views=st.integers(1, 4), height=st.integers(1, 9), width=st.integers(1, 9),
    places=st.integers(1, 70), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_values_are_those_of_loops(backend, scenes, views, height, width, places, seed):
    context = scenes_of(scenes, views, height, width, seed)
    points = 2 * torch.rand(places, 3, generator=torch.Generator().manual_seed(seed)) - 1
    right, margin = by_loops(context, points)
    found = colors_seen(context, points, backend).double()
    assert found.shape == right.shape
    error = (found - right).abs()[margin > 1e-3]  # at a border the share of views that look jumps
    assert (error[:, [0, 1, 2, 6, 7]] <= TOLERANCE).all() and (error[:, 3:6] <= 10 * TOLERANCE).all()


def test_points_that_no_number_says_and_cameras_far_off_do_no_harm():
    context = scenes_of(1, 2, 8, 8, 0)
    points = torch.tensor([[math.nan, 0, 0], [math.inf, 0, 0], [1e30, -1e30, 1e30], [0, 0, 0]])
    found = colors_seen(context, points, "cpu")
    assert found.isfinite().all() and torch.allclose(found[:, 3:], colors_seen(context, points[3:], "torch"), atol=1e-4)


def test_any_number_of_threads_sees_the_same():
    context, points = scenes_of(3, 3, 16, 12, 1), 2 * torch.rand(2000, 3) - 1
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = colors_seen(context, points, "cpu")
        torch.set_num_threads(3)
        assert torch.equal(colors_seen(context, points, "cpu"), alone)
    finally:
        torch.set_num_threads(before)


def test_what_the_kernel_does_not_take_is_left_to_the_reference_or_refused():
    context, points = scenes_of(1, 2, 8, 8, 0), torch.zeros(3, 3)
    double = dataclasses.replace(context, images=context.images.double())
    poses = context.cameras.camera_to_world.double(), context.cameras.intrinsics.double()
    double = dataclasses.replace(double, cameras=Cameras(*poses, 8, 8), background=context.background.double())
    assert colors_seen(double, points.double(), "cpu").dtype == torch.float64
    with pytest.raises(ValueError, match="do not fit together"):
        colors_seen(dataclasses.replace(context, cameras=context.cameras[:, :1]), points, "cpu")
    with pytest.raises(ValueError, match="do not fit together"):
        colors_seen(dataclasses.replace(context, cameras=double.cameras), points, "cpu")


@pytest.mark.parametrize("view", [0, 1])
def test_pixels_that_are_no_numbers_are_not_passed_over(view):
    context, points = scenes_of(1, 2, 8, 8, 0), 0.1 * torch.ones(1, 3)
    context.images[0, view] = math.nan
    found, right = (colors_seen(context, points, name) for name in ("cpu", "torch"))
    assert torch.equal(found.isnan(), right.isnan()) and found.isnan().any()
