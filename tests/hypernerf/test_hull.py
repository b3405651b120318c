"""The visual hull of training scenes: carved from silhouettes, kept packed, drawn from, learned from."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from hypernerf.geometry import cell_points, project
from hypernerf.training import store_scene
from hypernerf.training.batches import BatchConfig, sample_batch
from hypernerf.training.hull import NEAR, _draw_cells, draw_hull_points, pack_hull, visual_hull
from hypernerf.training.losses import HULL_LENGTH, hull_loss
from hypernerf.training.store import with_hulls
from scenes.procedural import ProceduralConfig, ProceduralSource


@pytest.fixture(scope="module")
def chair():
    """(views, exact shape) of one chair."""
    source = ProceduralSource(ProceduralConfig(size=64, views=24))
    name = source.scene_ids("train")[0]
    return source.load(name), source.shape(name)


def test_a_hull_holds_the_object_and_nothing_that_a_silhouette_denies(chair):
    views, shape = chair
    stored = store_scene(views)
    hull = visual_hull(stored.masks, stored.cameras)
    points = cell_points(len(hull))
    inside = shape.occupancy(points.numpy())
    flat = hull.flatten().numpy()
    assert flat[inside].mean() > 0.95 and inside[flat].mean() > 0.5
    # the slow way, for some points: every view's nearest pixel
    rng = np.random.default_rng(0)
    for index in rng.choice(np.flatnonzero(flat), 40, replace=False):
        for view in range(len(views)):
            x, y = (project(points[index : index + 1], views.cameras[view])[0] * 64).int().tolist()
            around = views.masks[view, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            assert around.max() > 0.5


def test_views_that_do_not_see_a_place_have_no_say(chair):
    views, _ = chair
    stored = store_scene(views)
    far = stored.cameras.intrinsics + torch.tensor([0.0, 0.0, 1000.0, 0.0])  # every point lies right of the image
    blind = dataclasses.replace(stored.cameras, intrinsics=far)
    ball = cell_points(64).norm(dim=-1) <= 1
    assert torch.equal(visual_hull(stored.masks, blind).flatten(), ball)


def test_cells_are_drawn_evenly_from_the_packed_hull(chair):
    stored = store_scene(chair[0])
    hull = visual_hull(stored.masks, stored.cameras).numpy()
    hull[:] &= np.random.default_rng(1).random(hull.shape) < 0.02  # few enough to be met often
    cells = np.flatnonzero(hull)
    drawn = _draw_cells(np.packbits(hull), 200 * len(cells), np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=hull.size)
    assert counts.sum() == counts[cells].sum() == 200 * len(cells)
    assert abs(counts[cells] - 200).max() < 5 * 200**0.5


def test_drawn_points_know_their_side_and_half_of_them_are_near():
    hull = torch.zeros(64, 64, 64, dtype=torch.bool)
    hull[20:30, 34:44, 40:50] = True  # z, y, x
    points, inside = draw_hull_points(pack_hull(hull), 4000, np.random.default_rng(0))
    assert points.norm(dim=-1).max() <= 1 + 1e-5
    cell = ((points + 1) * 32).long().clamp(0, 63)
    z, y, x = cell[:, 2], cell[:, 1], cell[:, 0]
    expected = (z >= 20) & (z < 30) & (y >= 34) & (y < 44) & (x >= 40) & (x < 50)
    assert torch.equal(inside.bool(), expected)
    center = (torch.tensor([45.0, 39.0, 25.0]) / 32) - 1
    near = ((points - center).abs() < 5 / 32 + 3 * NEAR).all(-1)
    assert 0.48 < near.float().mean() < 0.62


def test_an_empty_hull_gives_points_that_are_outside():
    points, inside = draw_hull_points(pack_hull(torch.zeros(64, 64, 64, dtype=torch.bool)), 50, np.random.default_rng(0))
    assert inside.sum() == 0 and points.norm(dim=-1).max() <= 1


def test_the_hull_loss_is_that_of_its_formula():
    density = torch.tensor([[3.0, 8.0]], dtype=torch.float64, requires_grad=True)
    inside = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    opacity = [1 - math.exp(-d * HULL_LENGTH) for d in (3.0, 8.0)]
    expected = (-math.log(opacity[0]) - math.log(1 - opacity[1])) / 2
    assert hull_loss(density, inside).item() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda d: hull_loss(d, inside), (density,))
    assert torch.isfinite(hull_loss(torch.zeros(1, 2), torch.ones(1, 2)))


def test_batches_bring_hulls_where_scenes_have_masks(chair):
    stored = store_scene(chair[0])
    config = BatchConfig(scenes=2, rays=8, hull_points=32)
    batch = sample_batch(with_hulls([stored]), config, 0, 0)
    assert batch.hull_points.shape == (2, 32, 3) and 0.1 < batch.hull_inside.mean() < 0.9
    without = dataclasses.replace(stored, masks=None)
    batch = sample_batch(with_hulls([without]), config, 0, 0)
    assert batch.hull_points is None
