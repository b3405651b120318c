"""Going on with other scenes: what was written for the first ones stays, and only with the regulariser."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from hypernerf.cli.fit import main as fit
from hypernerf.cli.session import load_run
from hypernerf.training import Trainer
from hypernerf.training.continual import KeepWritten, codes_of, load_codes, save_codes
from hypernerf.training.experiment import ContinualConfig
from hypernerf.training.losses import LossConfig
from hypernerf.training.objectives import CODES, EARLIER_CODES
from hypernerf.types import InputError

from ..conftest import tiny

pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture(scope="module")
def earlier(stored, tmp_path_factory):
    """A trainer with a few steps behind it, and the codes of two of its scenes."""
    trainer = Trainer(tiny(steps=10, loss=LossConfig(hull=0)), stored[:2], tmp_path_factory.mktemp("earlier"))
    for _ in range(10):
        trainer._timed_step()
    return trainer, codes_of(trainer.average, trainer.scenes, (1, 2), 2)


def drift(trainer: Trainer, codes) -> float:
    now = trainer.model.generate(codes.code).tensors
    return sum(float(((now[n] - v).norm() / v.norm()).detach()) for n, v in codes.written.tensors.items()) / len(now)


def go_on(earlier, stored, folder, **continual) -> Trainer:
    before, codes = earlier
    folder.mkdir()
    save_codes(folder / EARLIER_CODES, [codes])
    trainer = Trainer(tiny(steps=40, seed=1, loss=LossConfig(hull=0), continual=ContinualConfig(**continual)), stored[2:], folder)
    trainer.start_from(before.average)
    for _ in range(40):
        trainer._timed_step()
    return trainer


def test_what_was_written_is_kept_only_with_a_weight(earlier, stored, tmp_path):
    free = go_on(earlier, stored, tmp_path / "free")
    kept = go_on(earlier, stored, tmp_path / "kept", weight=100.0, freeze_encoder=True)
    assert drift(kept, earlier[1]) < 0.25 * drift(free, earlier[1])


def test_a_frozen_encoder_does_not_move_and_the_hypernetwork_does(earlier, stored, tmp_path):
    trainer = go_on(earlier, stored, tmp_path / "frozen", freeze_encoder=True)
    before, after = earlier[0].average.state_dict(), trainer.model.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"hypernetwork"}


def test_nothing_is_lost_at_first_and_the_loss_is_the_relative_error(earlier):
    before, codes = earlier
    step = type("Step", (), {"generator": torch.Generator().manual_seed(0)})()
    assert KeepWritten(codes, 5.0)(before.average, step).item() < 1e-9
    double = dataclasses.replace(codes, written=codes.written.map(lambda value: value / 2))
    assert KeepWritten(double, 5.0)(before.average, step).item() == pytest.approx(5.0, rel=1e-5)  # |2w - w|^2 / |w|^2 = 1


def test_codes_are_read_back_and_add_up(earlier, tmp_path):
    _, codes = earlier
    save_codes(tmp_path / "two", [codes, codes])
    again = load_codes(tmp_path / "two", tiny().field)
    assert len(again) == 4
    assert torch.allclose(again.code.lifted.seen[2:], codes.code.lifted.seen, atol=1e-3)
    assert torch.allclose(again.written.tensors["planes"][:2], codes.written.tensors["planes"], atol=1e-3)
    with pytest.raises(InputError, match="train the earlier run anew"):
        load_codes(tmp_path / "two", dataclasses.replace(tiny().field, width=32))


CONFIG = """
source: {name: procedural, size: 16, views: 6, train_scenes: 3, val_scenes: 1, test_scenes: 1}
encoder: {image: {image_size: 16, channels: [8, 16]}, set: {width: 32}, lift: {resolution: 4, channels: 8}}
hypernetwork: {latent: 16, width: 32, rank: 2}
field: {width: 16, depth: 1, position_frequencies: 2, plane_resolution: 6, plane_channels: 2, volume_resolution: 4}
train: {steps: 2, samples: 8, validations: 1, device: cpu, batch: {scenes: 2, rays: 16, context: [1, 2]}, continual: {codes: 2}}
evaluate: {context_views: [1], max_target_views: 2, meshes: 1}
render: {samples: 8, grid: 8}
"""


def test_runs_in_a_row(tmp_path, monkeypatch):
    """Chairs, then cars, then lamps: each run hands on the codes of all before it, and starts where the last one ended."""
    monkeypatch.setattr("hypernerf.cli.fit.finish_run", lambda *given: None)
    config, last = tmp_path / "config.yaml", None
    config.write_text(CONFIG)
    for number, category in enumerate(("chairs", "cars", "lamps")):
        out = tmp_path / category
        more = [] if last is None else ["--continue-from", str(last), "--train.continual.weight", "1"]
        assert fit([str(config), "--out", str(out), "--source.categories", f"[{category}]", *more]) == 0
        run = load_run(out)
        assert len(load_codes(out / CODES, run.experiment.field)) == 2 * (number + 1)
        if last is not None:
            before = (last / CODES).read_bytes()
            assert (out / EARLIER_CODES).read_bytes() == before
        last = out


def test_going_on_from_nothing_is_refused(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    with pytest.raises(InputError, match="continue-from"):
        fit([str(config), "--out", str(tmp_path / "run"), "--train.continual.weight", "1"])
