import torch

from hypernerf.cli.benchmark import Shape, network_rows
from hypernerf.cli.benchmark_run import step_parts
from hypernerf.cli.timing import medians
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
    assert names == [row.backend for row in both] and names[0] == "torch" and names[-1] == "torch, bfloat16" and "cpu" in names
    assert [row.ratio for row in rows if row.backend == "torch"] == [1.0, 1.0]
    errors = {row.backend: row.error for row in both}
    assert errors["cpu"] < 1e-5 < errors["torch, bfloat16"] < 0.1
    assert "cpu_bf16" not in errors or 1e-4 < errors["cpu_bf16"] < 1e-2


def test_the_parts_of_a_step_are_those_of_the_whole(stored, tmp_path):
    trainer = Trainer(tiny(), stored, tmp_path)
    before = [value.clone() for value in trainer.model.parameters()]
    seconds = step_parts(trainer)
    assert list(seconds) == ["load", "encode", "generate", "refine", "sample", "field", "composite", "backward", "optimizer"]
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))  # it did step
