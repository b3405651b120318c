"""Mirrored scenes are scenes: their cameras are cameras, and each ray still sees what it saw."""

import dataclasses

import pytest
import torch

from hypernerf.geometry import camera_rays, is_rigid, project
from hypernerf.training.batches import BatchConfig, sample_batch
from hypernerf.training.mirror import mirror_scenes
from hypernerf.training.store import store_scene, with_hulls
from scenes.procedural import ProceduralConfig
from scenes.source import open_source


@pytest.fixture(scope="module")
def stored():
    config = ProceduralConfig(size=12, train_scenes=3, val_scenes=1, test_scenes=1, train_views=4, categories=("chairs",))
    source = open_source(config)
    off = torch.tensor([0.0, 0.0, 0.3, -0.7])  # a center that is not the image's
    scenes = [store_scene(source.load(name)) for name in source.scene_ids("train")]
    moved = [dataclasses.replace(s.cameras, intrinsics=s.cameras.intrinsics + off) for s in scenes]
    return with_hulls(dataclasses.replace(scene, cameras=cameras) for scene, cameras in zip(scenes, moved, strict=True))


@pytest.fixture(scope="module")
def batch(stored):
    return sample_batch(stored, BatchConfig(scenes=3, rays=16), 0, 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cameras_are_mirrored_with_what_they_see(batch, axis):
    chosen = torch.tensor([True, False, True])
    after = mirror_scenes(batch, chosen, axis)
    signs = torch.ones(3)
    signs[axis] = -1
    assert bool(is_rigid(after.context.cameras.camera_to_world).all())
    before_rays, after_rays = camera_rays(batch.context.cameras), camera_rays(after.context.cameras)
    for scene in (0, 2):
        assert torch.allclose(after_rays.directions[scene].flip(-2), before_rays.directions[scene] * signs, atol=1e-6)
        assert torch.allclose(after_rays.origins[scene].flip(-2), before_rays.origins[scene] * signs, atol=1e-6)
        assert torch.equal(after.context.images[scene].flip(-2), batch.context.images[scene])
        assert torch.equal(after.target_rays.origins[scene], batch.target_rays.origins[scene] * signs)
        assert torch.equal(after.target_rays.directions[scene], batch.target_rays.directions[scene] * signs)
        assert torch.equal(after.hull_points[scene], batch.hull_points[scene] * signs)
    assert torch.equal(after_rays.directions[1], before_rays.directions[1])
    assert torch.equal(after.context.images[1], batch.context.images[1])
    for name in ("target_colors", "target_importance", "target_masks", "hull_inside"):
        assert torch.equal(getattr(after, name), getattr(batch, name))


def test_a_point_is_seen_at_the_mirrored_place(batch):
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * 0.4
    after = mirror_scenes(batch, torch.ones(3, dtype=torch.bool), 1)
    for scene in range(3):
        there = project(points * torch.tensor([1.0, -1.0, 1.0]), after.context.cameras[scene, 0])
        here = project(points, batch.context.cameras[scene, 0])
        assert torch.allclose(there, torch.stack([1 - here[:, 0], here[:, 1]], dim=1), atol=1e-5)


def test_twice_is_nothing_and_the_batch_given_stays_as_it_was(batch):
    chosen = torch.tensor([True, False, True])
    poses, images = batch.context.cameras.camera_to_world.clone(), batch.context.images.clone()
    twice = mirror_scenes(mirror_scenes(batch, chosen, 2), chosen, 2)
    assert torch.equal(batch.context.cameras.camera_to_world, poses) and torch.equal(batch.context.images, images)
    assert torch.equal(twice.context.cameras.camera_to_world, poses) and torch.equal(twice.context.images, images)
    assert torch.allclose(twice.context.cameras.intrinsics, batch.context.cameras.intrinsics, atol=1e-6)
    assert torch.equal(twice.target_rays.directions, batch.target_rays.directions)
    assert torch.equal(twice.hull_points, batch.hull_points)


def test_half_of_the_scenes_are_mirrored_and_the_rest_are_what_they_were(stored):
    config = BatchConfig(scenes=3, rays=16)
    count = 0
    for step in range(40):
        plain = sample_batch(stored, config, 0, step)
        drawn = sample_batch(stored, dataclasses.replace(config, mirror="x"), 0, step)
        for scene in range(3):
            same = torch.equal(plain.context.images[scene], drawn.context.images[scene])
            assert same == torch.equal(plain.target_rays.origins[scene], drawn.target_rays.origins[scene])
            assert torch.equal(plain.target_colors[scene], drawn.target_colors[scene])
            count += not same
    assert 40 < count < 80  # of 120: 3.6 deviations either way
