from dataclasses import replace

import pytest
import torch

from hypernerf.cli.benchmark import Shape, network_rows
from hypernerf.cli.benchmark_run import EVERYWHERE, step_parts, view_of, view_rows
from hypernerf.cli.timing import medians
from hypernerf.fields import FieldWeights, field_values, radiance_field
from hypernerf.rendering import RenderSettings, occupancy, render_views, renderer
from hypernerf.training import Trainer
from tests.conftest import tiny

CPU = torch.device("cpu")


def test_rivals_take_turns_and_the_first_turn_does_not_count():
    calls: list[str] = []
    seconds = medians({name: lambda name=name: calls.append(name) for name in "ab"}, CPU, 2)
    assert "".join(calls) == "ababab" and seconds.keys() == {"a", "b"}


def test_operations_are_counted_as_a_loop_counts_them():
    shape = Shape(2, 3, (4, 5, 6))
    forward = sum(2 for _ in range(2 * 3) for i, o in ((4, 5), (5, 6)) for _ in range(i * o))
    weights, hidden = forward, sum(2 for _ in range(2 * 3 * 5 * 6))  # dW of both layers; of the values, the hidden ones' alone
    assert shape.flops == forward and shape.training_flops == forward + weights + hidden


def test_rows_hold_every_backend_beside_the_reference():
    rows = network_rows(CPU, 1, 1e9, Shape(2, 50, (7, 16, 3)))
    forward, both = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    names = [row.backend for row in forward]
    assert names == [row.backend for row in both] and names[0] == "torch" and "cpu" in names
    assert ("torch, bfloat16" in names) == ("cpu_bf16" in names)  # where there are products of bfloat16
    assert [row.ratio for row in rows if row.backend == "torch"] == [1.0, 1.0]
    errors = {row.backend: row.error for row in both}
    assert errors["cpu"] < 1e-5
    assert "cpu_bf16" not in errors or (1e-4 < errors["cpu_bf16"] < 1e-2 and 1e-5 < errors["torch, bfloat16"] < 0.1)


def test_the_parts_of_a_step_are_those_of_the_whole(stored, tmp_path):
    trainer = Trainer(tiny(), stored, tmp_path)
    before = [value.clone() for value in trainer.model.parameters()]
    seconds = step_parts(trainer)
    assert list(seconds) == ["load", "encode", "generate", "refine", "sample", "field", "integrate", "backward", "optimizer"]
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))  # it did step


def test_views_say_how_near_they_are_to_dense_sampling_and_at_how_many_points(scene_field, monkeypatch):
    settings, asked = RenderSettings(samples=24, grid=24), []

    def counted(field):
        def counting(positions, *rest):
            asked.append(positions.shape[1])
            return field(positions, *rest)

        return counting

    monkeypatch.setattr(renderer, "field_values", counted(field_values))
    monkeypatch.setattr(occupancy, "radiance_field", counted(radiance_field))
    dense, occupied, at_hand = view_rows(scene_field, settings, 32, 1)
    assert (dense.samples, dense.ratio) == (1.0, 1.0) and dense.what == occupied.what == "view 32 x 32"
    assert dense.psnr > 60 and occupied.psnr > 40 and 0 < occupied.samples < 0.5
    asked.clear()
    render_views(scene_field.weights, view_of(scene_field, 32), torch.ones(3), settings)
    sparse = sum(asked)
    asked.clear()
    occupancy.scene_occupancy(scene_field.weights, settings.grid)
    looks = sum(asked)
    asked.clear()
    render_views(scene_field.weights, view_of(scene_field, 32), torch.ones(3), replace(settings, samples=96), EVERYWHERE)
    assert occupied.samples == pytest.approx(sparse / sum(asked))
    assert at_hand.samples == pytest.approx((sparse - looks) / sum(asked)) and at_hand.psnr == occupied.psnr
    assert looks > 0
    coarse = view_rows(scene_field, replace(settings, samples=2), 32, 1)[1]
    assert coarse.psnr < occupied.psnr - 6


def test_a_field_with_an_empty_middle_is_not_an_empty_picture(scene_field):
    """As it was when dense sampling meant an occupancy grid of one cell, which is looked at in its middle."""
    first, last = scene_field.weights.tensors.values()
    inside_out = FieldWeights(
        scene_field.weights.spec, {"layer_0": first, "layer_1": last * torch.tensor([-1.0, 1, 1, 1])[:, None]}
    )
    dense, occupied, _ = view_rows(replace(scene_field, weights=inside_out), RenderSettings(samples=24, grid=24), 32, 1)
    seen = render_views(inside_out, view_of(scene_field, 32), torch.ones(3), RenderSettings(samples=96), EVERYWHERE)
    assert float(inside_out.tensors["layer_1"][0, 0, 0]) < 0 and seen.opacity.max() > 0.9
    assert min(dense.psnr, occupied.psnr) > 40
