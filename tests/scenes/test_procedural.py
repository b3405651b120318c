import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.geometry import camera_rays
from hypernerf.types import InputError
from scenes.categories import CATEGORIES
from scenes.procedural import ProceduralConfig, ProceduralSource
from scenes.shape import Paint, Part, Shape
from scenes.solids import Ellipsoid, Frustum, Prism, box
from scenes.source import check_scene

SOLIDS = [
    box(0.5, 0.3, 0.2), Prism((0.5, 0.4), (0.3, 0.2), 0.3, shift=0.1), Frustum(0.4, 0.4, 0.3), Frustum(0.5, 0.1, 0.3),
    Frustum(0.1, 0.6, 0.15), Ellipsoid((0.5, 0.3, 0.2)),
]  # fmt: skip


@pytest.mark.parametrize("solid", SOLIDS, ids=str)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_intervals_of_rays_are_where_the_inside_test_says(solid, seed):
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(40, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = (rng.normal(size=(40, 3)) * 0.3 - 2 * directions).astype(np.float32)
    near, far = solid.interval(origins, directions)
    steps = np.linspace(0, 4, 400, dtype=np.float32)
    for origin, direction, low, high in zip(origins, directions, near, far, strict=True):
        inside = solid.inside(origin + steps[:, None] * direction)
        clear = (np.abs(steps - low) > 0.02) & (np.abs(steps - high) > 0.02)  # away from the surface, where rounding decides
        assert (inside[clear] == ((steps > low) & (steps < high))[clear]).all()


@pytest.mark.parametrize("solid", SOLIDS, ids=str)
def test_normals_point_outwards(solid):
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(200, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    near, far = solid.interval(-3 * directions, directions)
    points = -3 * directions + near[:, None] * directions
    normals = solid.normals(points)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4) and (near <= far).all()
    inside = solid.inside(points - 0.01 * normals)
    outside = ~solid.inside(points + 0.01 * normals)
    assert inside.mean() > 0.97 and outside.mean() > 0.99  # edges apart


def sphere(radius: float, center=(0, 0, 0)) -> Part:
    return Part(Ellipsoid((radius,) * 3), Paint((1, 0, 0)), np.array(center, dtype=float), np.eye(3))


def test_surface_points_are_uniform_over_the_union():
    shape = Shape((sphere(0.5), sphere(0.3, (0.4, 0, 0))))
    points = shape.surface_points(20000, np.random.default_rng(0))
    big = np.abs(np.linalg.norm(points, axis=1) - 0.5) < 1e-3
    small = np.abs(np.linalg.norm(points - [0.4, 0, 0], axis=1) - 0.3) < 1e-3
    assert (big | small).all() and not shape.occupancy((points * 0.5).astype(np.float32))[~big & ~small].any()
    # caps of height h have area 2 pi r h; the spheres meet in the plane x = (0.25 - 0.09 + 0.16) / 0.8
    plane = (0.25 - 0.09 + 0.16) / 0.8
    area_big, area_small = 2 * np.pi * 0.5 * (0.5 + plane), 2 * np.pi * 0.3 * (0.3 + 0.4 - plane)
    assert big.mean() == pytest.approx(area_big / (area_big + area_small), abs=0.015)


@pytest.mark.parametrize("category", CATEGORIES)
def test_depth_mask_and_occupancy_tell_of_the_same_object(category):
    source = ProceduralSource(ProceduralConfig(categories=(category,), size=48, views=3, depths=True))
    for name in source.scene_ids("val")[:3]:
        views, shape = source.load(name), source.shape(name)
        rays = camera_rays(views.cameras)
        hit = views.depths > 0  # of the pixel's center; the mask is the share of four points around it
        assert (views.masks[hit] > 0).float().mean() > 0.99
        assert ((views.masks > 0.5) == hit).float().mean() > 0.97
        assert 0.03 < hit.float().mean() < 0.7
        surface = rays.origins + views.depths[..., None] * rays.directions
        assert surface[hit].norm(dim=-1).max() <= 0.951
        behind = (surface + 2e-3 * rays.directions)[hit].numpy()
        before = (surface - 2e-3 * rays.directions)[hit].numpy()
        assert shape.occupancy(behind).mean() > 0.97 and shape.occupancy(before).mean() < 0.02
        # along rays that miss, nothing is inside
        along = torch.linspace(1.6, 3.6, 60)
        miss = (rays.origins[..., None, :] + along[:, None] * rays.directions[..., None, :])[views.masks == 0].reshape(-1, 3)
        assert not shape.occupancy(miss.numpy()).any()


def test_scenes_are_seeded_varied_and_apart(tmp_path):
    config = ProceduralConfig(size=16, views=2, cache=str(tmp_path))
    first, again = ProceduralSource(config), ProceduralSource(config)
    names = first.scene_ids("train")
    assert len(names) == 600 and not set(names) & set(first.scene_ids("test"))
    one = first.load(names[0])
    assert torch.equal(one.images, again.load(names[0]).images)  # the second comes from the cache
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(b"broken")
    assert torch.equal(one.images, again.load(names[0]).images)
    shapes = {len(first.shape(name).parts) for name in names[:40]}
    assert len(shapes) > 6
    test = first.load(first.scene_ids("test")[0])
    assert not torch.equal(one.images, test.images) and not torch.equal(one.cameras.positions, test.cameras.positions)
    assert len(check_scene(one)) == 2


def test_categories_take_turns():
    source = ProceduralSource(ProceduralConfig(categories=("chairs", "lamps"), test_scenes=3))
    assert source.scene_ids("test") == ["test-chairs-00000", "test-lamps-00000", "test-chairs-00001"]
    with pytest.raises(InputError, match="categories"):
        ProceduralConfig(categories=("boats",))


def test_stripes_and_checks_alternate():
    points = np.array([[0.05, 0.05, 0], [0.15, 0.05, 0], [0.15, 0.15, 0]], dtype=np.float32)
    stripes = Paint((0, 0, 0), (1, 1, 1), "stripes", 0.1, 0).at(points)[:, 0]
    checks = Paint((0, 0, 0), (1, 1, 1), "checks", 0.1, 0).at(points)[:, 0]
    assert stripes.tolist() == [0, 1, 1] and checks.tolist() == [0, 1, 0]


def test_training_scenes_may_have_views_of_their_own_number(tmp_path):
    few = ProceduralSource(ProceduralConfig(size=8, views=6, train_views=2, cache=str(tmp_path)))
    same = ProceduralSource(ProceduralConfig(size=8, views=6, cache=str(tmp_path)))
    assert [len(few.load(f"{split}-chairs-00000").images) for split in ("train", "val", "test")] == [2, 6, 6]
    assert len(same.load("train-chairs-00000").images) == 6  # not what the other has put into their cache
    assert torch.equal(few.load("test-chairs-00000").images, same.load("test-chairs-00000").images)
    assert len(few.load("train-chairs-00000").images) == 2
