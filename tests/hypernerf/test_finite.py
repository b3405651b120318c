"""Numbers that are not finite reach no weight, and what led to them is told."""

import copy
import itertools
import json

import pytest
import torch

from hypernerf.cli import fit
from hypernerf.tensor_files import read_state
from hypernerf.training import Trainer
from hypernerf.training.checkpoint import load_for_resuming
from hypernerf.types import InputError
from tests.conftest import tiny
from tests.hypernerf.test_cli import CONFIG

pytestmark = pytest.mark.usefixtures("_one_thread")


def spoil_loss(trainer, output):
    output.losses["total"] = output.losses["total"] * torch.nan


def spoil_gradient(trainer, output):
    """The square root of 0 is finite, its slope is not."""
    some = next(trainer.model.parameters()).sum()
    output.losses["total"] = output.losses["total"] + (some - some.detach()).sqrt()


def spoil_occupancy(trainer, output):
    """Densities that are not finite, even where no ray meets them."""
    output.seen[0] = torch.nan


def spoil(monkeypatch, how, steps):
    plain = Trainer._forward

    def forward(self, batch):
        output = plain(self, batch)
        if self.step in steps:
            how(self, output)
        return output

    monkeypatch.setattr(Trainer, "_forward", forward)


def learned(trainer):
    state = [trainer.model.state_dict(), trainer.average.state_dict(), trainer.optimizer.state_dict(), trainer.occupancy.values]
    return copy.deepcopy(state)


def flat(state):
    if isinstance(state, torch.Tensor):
        return [state]
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, list) else []
    return [tensor for part in inner for tensor in flat(part)]


@pytest.mark.parametrize("how", [spoil_loss, spoil_gradient, spoil_occupancy])
def test_a_step_that_is_not_finite_changes_nothing(stored, tmp_path, monkeypatch, how):
    spoil(monkeypatch, how, {3, 4})
    trainer, states, skipped = Trainer(tiny(steps=7, occupancy_every=1), stored, tmp_path), [], []

    def note(report):
        states.append(learned(trainer))
        skipped.append(report.skipped)

    assert trainer.run(note, lambda trainer: None) and trainer.step == 7
    assert [bool(names) for names in skipped] == [False] * 3 + [True] * 2 + [False] * 2
    assert set(skipped[3]) <= {scene.scene_id for scene in stored} and len(skipped[3]) == 3
    same = [all(map(torch.equal, flat(a), flat(b))) for a, b in itertools.pairwise(states)]
    assert same == [False, False, True, True, False, False]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in flat(states[-1]))


def test_too_many_in_a_row_end_the_training_with_what_is_known(stored, tmp_path, monkeypatch):
    spoil(monkeypatch, spoil_loss, {1, 2, 4, 5, 7, 8, 9})
    trainer = Trainer(tiny(max_skipped=3, checkpoint_every=9), stored, tmp_path)
    with pytest.raises(InputError, match=r"3 steps in a row.*nonfinite_00000010\.pt"):
        trainer.run(lambda report: None, lambda trainer: None)
    told = read_state(tmp_path / "nonfinite_00000010.pt")
    assert told["step"] == 10 and len(told["scene_ids"]) == 3 and told["losses"]["total"].isnan() and told["losses"]["hull"] > 0
    parameters = dict(trainer.model.named_parameters())
    assert told["parameter_norms"].keys() == parameters.keys() >= told["gradient_norms"].keys()
    assert all(torch.equal(norm, parameters[name].norm()) for name, norm in told["parameter_norms"].items())

    again = Trainer(tiny(max_skipped=3), stored, tmp_path)  # the two before the checkpoint still count
    again.resume(load_for_resuming(tmp_path, pytest.fail))
    assert again.step == 9
    with pytest.raises(InputError, match="3 steps in a row"):
        again.run(lambda report: pytest.fail("a whole step"), lambda trainer: None)


def test_the_command_logs_skipped_steps_with_their_scenes(tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    spoil(monkeypatch, spoil_loss, {0, 1, 3, 4, 5})
    with pytest.raises(InputError, match="3 steps in a row"):
        fit.main([str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "run"), "--train.max_skipped", "3"])
    entries = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(entry["kind"], entry["step"]) for entry in entries] == [("skipped", step) for step in (1, 2, 4, 5)]
    assert all(name.startswith("train-chairs-") for entry in entries for name in entry["scenes"])
    assert "step 5 skipped" in capsys.readouterr().out
