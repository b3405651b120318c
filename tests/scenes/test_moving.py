"""Objects that move: only what should, all within the sphere, and seen by the views of their time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hypernerf.training.batches import BatchConfig, sample_batch
from hypernerf.training.store import store_scene
from hypernerf.types import InputError
from scenes.moving import TIMES
from scenes.procedural import ProceduralConfig, ProceduralSource


def source(category: str, **more) -> ProceduralSource:
    return ProceduralSource(ProceduralConfig(categories=(category,), size=16, views=12, train_scenes=4, moving=True, **more))


@pytest.mark.parametrize("category", ["cars", "lamps"])
def test_some_parts_move_and_most_of_a_car_does_not(category):
    shapes = source(category)._shapes(f"train-{category}-00001")
    still = [
        np.allclose(a.center, b.center) and np.allclose(a.rotation, b.rotation)
        for a, b in zip(shapes[0].parts, shapes[1].parts, strict=True)
    ]
    assert 0 < sum(still) < len(still)
    if category == "cars":
        assert len(still) - sum(still) == 8  # wheels turn in their places
        assert all(np.allclose(a.center, b.center) for a, b in zip(shapes[0].parts, shapes[1].parts, strict=True))


@pytest.mark.parametrize("category", ["cars", "lamps"])
def test_all_times_fit_in_one_sphere(category):
    for shape in source(category)._shapes(f"train-{category}-00002"):
        assert max(np.linalg.norm(part.hull(), axis=1).max() for part in shape.parts) <= 0.95 + 1e-9


def test_arms_keep_their_length():
    """An arm that swings about its knee keeps its distance from it."""
    for number in range(8):
        shapes = source("lamps")._shapes(f"train-lamps-{number:05d}")
        pivot = 3 if len(shapes[0].parts) == 5 else 0
        gaps = [np.linalg.norm(shape.parts[2].center - shape.parts[pivot].center) for shape in shapes]
        if pivot == 3:
            assert np.allclose(gaps, gaps[0])


def test_each_view_shows_its_own_time():
    lamps = source("lamps")
    scene = lamps.load("train-lamps-00000")
    assert scene.times.tolist() == pytest.approx([i % TIMES / TIMES for i in range(12)])
    for view in (0, 1, 4, 7):
        image, _ = lamps._render_shape(lamps._shapes("train-lamps-00000")[view % TIMES], scene.cameras[view : view + 1])
        assert torch.equal(torch.from_numpy(image[0, ..., :3]).float() / 255, scene.images[view])
    assert lamps.folders != ProceduralSource(ProceduralConfig(categories=("lamps",), size=16, views=12)).folders


def test_batches_read_time_0_and_ask_for_one_time_a_scene():
    lamps = source("lamps")
    stored = [store_scene(lamps.load(name)) for name in lamps.scene_ids("train")]
    seen = set()
    for step in range(6):
        batch = sample_batch(stored, BatchConfig(scenes=3, rays=16, context=(1, 2)), 0, step)
        for row, name in enumerate(batch.scene_ids):
            scene = next(s for s in stored if s.scene_id == name)
            now, first = scene.times == batch.times[row], scene.times == 0
            positions = batch.target_rays.origins[row].unique(dim=0)
            assert all((scene.cameras.positions[now] - p).norm(dim=1).min() < 1e-5 for p in positions)
            for position in batch.context.cameras.positions[row]:
                assert (scene.cameras.positions[first] - position).norm(dim=1).min() < 1e-5
            seen.add(round(float(batch.times[row]), 3))
    assert len(seen) >= 4


def test_chairs_do_not_move():
    with pytest.raises(InputError, match="chairs have no parts that move"):
        source("chairs")
