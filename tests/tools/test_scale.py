"""The model of cost against a ring that is played out, its limits, and operations counted by hand."""

import pytest
import torch

from hypernerf.training import Trainer
from scale.command import constants, noise_scenes
from scale.cost import Cluster, Work, ring_bytes, step
from tests.conftest import tiny


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_a_ring_sends_what_the_formula_says(ranks):
    """Each rank owns one part of n; in n - 1 rounds sums travel to their owners, in n - 1 more back to all."""
    parts = torch.rand(ranks, ranks)  # [rank, part], one byte each
    held, sent = parts.clone(), 0
    for gathering in (False, True):
        for turn in range(ranks - 1):
            moved = [((rank + gathering - turn) % ranks, rank) for rank in range(ranks)]
            values = [held[rank, part].clone() for part, rank in moved]
            for (part, rank), value in zip(moved, values, strict=True):
                neighbor = (rank + 1) % ranks
                held[neighbor, part] = value if gathering else held[neighbor, part] + value
            sent += 1
    assert torch.allclose(held, parts.sum(0).expand_as(held))
    assert sent == pytest.approx(ring_bytes(ranks, ranks))


def test_limits_of_the_model():
    work, cluster = Work(parameters=10**7, flops_per_scene=1e9, scenes_per_rank=8), Cluster(1e12, 1e30, 1e10, 1e-5, 2.0)
    one = step(work, cluster, 1)
    assert one.compute == 8e-3 and one.seconds == pytest.approx(8e-3) and one.scenes_per_second == pytest.approx(1000)
    assert one.dollars_per_billion_scenes == pytest.approx(1e9 / 1000 / 3600 * 2)
    assert step(work, Cluster(1e12, 1e9, 1e10, 1e-5), 1).seconds == pytest.approx(8e-3 + 36 * 1e7 / 1e9)
    rates = [step(work, cluster, ranks).scenes_per_second / ranks for ranks in (1, 2, 8, 64, 1000)]
    assert rates == sorted(rates, reverse=True)
    slow = step(work, Cluster(1e6, 1e30, 1e10, 0.0), 2)  # what is sent hides behind the work, but for the last bucket of two
    assert slow.exposed == pytest.approx(slow.reduce / 2)


def test_constants_are_counted(tmp_path):
    experiment = tiny()
    scenes = noise_scenes(experiment, 16, 6)
    found = constants(experiment, scenes)
    model = Trainer(experiment, scenes, tmp_path).model
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    points = 16 * 8 + experiment.train.batch.hull_points
    widths = [(experiment.field.param_shapes[name]) for name in experiment.field.layer_names]
    field = 3 * 2 * points * sum(rows * columns for rows, columns in widths)  # forward, and two products backward
    assert field < found["flops_per_scene"] < 100 * field
    assert found["memory_bytes_per_scene"] == 6 * 16 * 16 * 4 + 64**3 // 8
