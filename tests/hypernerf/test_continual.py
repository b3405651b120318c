"""Going on with other scenes: what was written for the first ones stays, and only with the rehearsal."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace

import pytest
import torch

from hypernerf.cli.fit import main as fit
from hypernerf.cli.session import load_run
from hypernerf.fields import FieldSpec, FieldWeights
from hypernerf.rendering import RenderSettings, render_views
from hypernerf.training import Trainer, reconstruct
from hypernerf.training.continual import (
    VIEWS,
    Rehearsal,
    drawn,
    field_distance,
    load_earlier,
    load_memory,
    remembered,
    save_memory,
)
from hypernerf.training.experiment import ContinualConfig
from hypernerf.training.losses import LossConfig
from hypernerf.training.objectives import EARLIER, MEMORY
from hypernerf.types import InputError

from ..conftest import tiny

pytestmark = pytest.mark.usefixtures("_one_thread")
SETTINGS = RenderSettings(samples=16, grid=16)


@pytest.fixture(scope="module")
def earlier(stored, tmp_path_factory):
    """A trainer that has learned two scenes, and what it remembers of them."""
    torch.set_num_threads(1)
    experiment = tiny(steps=150, learning_rate=5e-3, ema=0.9, loss=LossConfig(hull=0))
    trainer = Trainer(experiment, stored[:2], tmp_path_factory.mktemp("earlier"))
    for _ in range(150):
        trainer._timed_step()
    return trainer, remembered(trainer.average, trainer.scenes, 2)


def loss(earlier, model, seed=0, weight=1.0) -> torch.Tensor:
    trainer, memory = earlier
    random = torch.Generator().manual_seed(seed)
    step = SimpleNamespace(config=tiny().train, weights=SimpleNamespace(spec=tiny().field), generator=random)
    return Rehearsal(drawn(memory, 16, SETTINGS), copy.deepcopy(trainer.average), weight)(model, step)


def go_on(earlier, stored, folder, weight: float) -> Trainer:
    """Steps on scenes of which nothing but black can be learned."""
    before, memory = earlier
    folder.mkdir()
    save_memory(folder / EARLIER, [memory], before.average)
    black = [dataclasses.replace(scene, images=torch.zeros_like(scene.images), masks=None) for scene in stored[2:]]
    config = {"learning_rate": 5e-3, "ema": 0.9, "loss": LossConfig(hull=0), "continual": ContinualConfig(weight=weight)}
    trainer = Trainer(tiny(steps=60, seed=1, **config), black, folder)
    trainer.start_from(before.average)
    for _ in range(60):
        trainer._timed_step()
    return trainer


def test_earlier_scenes_are_kept_only_with_a_weight(earlier, stored, tmp_path):
    free, kept = (go_on(earlier, stored, tmp_path / str(weight), weight).average for weight in (0.0, 3.0))
    assert 0 < float(loss(earlier, kept)) < 0.2 * float(loss(earlier, free))


def test_nothing_is_lost_at_first_and_moving_away_costs(earlier):
    trainer, _ = earlier
    model = copy.deepcopy(trainer.average).requires_grad_(True)
    first = loss(earlier, model)
    first.backward()
    assert first.item() == 0
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.05
    moved = loss(earlier, model)
    assert moved.item() > 1e-5
    assert torch.equal(moved, loss(earlier, model))  # all that is random comes from the step
    assert not torch.equal(moved, loss(earlier, model, seed=1))
    assert loss(earlier, model, weight=3.0).item() == pytest.approx(3 * moved.item(), rel=1e-5)
    model.zero_grad()
    moved.backward()
    parts = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert parts == {"image_encoder", "set_encoder", "lift", "hypernetwork"}


def even(density: float, color: float) -> FieldWeights:
    """The same everywhere, for values before their activations."""
    first, last = torch.zeros(1, 16, 4), torch.zeros(1, 4, 16)
    first[0, 0, 3] = 1.0  # the constant, passed on
    last[0, :, 0] = torch.tensor([density, color, color, color])
    return FieldWeights(FieldSpec(width=16, depth=1, position_frequencies=0), {"layer_0": first, "layer_1": last})


def test_the_distance_of_fields_is_that_of_opacities_and_of_colors_where_something_is():
    densities = 10 * torch.nn.functional.softplus(torch.tensor([2.0, 5.0]) - 3)
    now, then = 1 - torch.exp(-0.1 * densities)
    colors = (torch.sigmoid(torch.tensor(1.0)) - 0.5) ** 2
    found = field_distance(even(2.0, 1.0), even(5.0, 0.0), torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, (now - then) ** 2 + then * colors)


def test_remembered_scenes_look_as_their_fields_do(earlier, stored):
    trainer, memory = earlier
    scenes = drawn(memory, 16, SETTINGS)
    views = [i * len(stored[1]) // VIEWS for i in range(VIEWS)]
    field = reconstruct(trainer.average, stored[1], range(len(stored[1])))
    truth = render_views(field, stored[1].cameras[views], stored[1].background, SETTINGS)
    assert len(scenes) == 2
    assert (scenes[1].image(slice(None)) - truth.color).abs().max() <= 0.5 / 255 + 1e-3


def test_a_rehearsed_loss_survives_the_step_before_the_first(earlier, stored, tmp_path):
    """With several processes the objective is made anew: it must still hold what is rehearsed."""
    save_memory(tmp_path / EARLIER, [earlier[1]], earlier[0].average)
    trainer = Trainer(tiny(continual=ContinualConfig(weight=1.0)), stored[2:], tmp_path)
    trainer._rehearse()
    assert "earlier" in trainer._forward(trainer._draw()).losses


def test_memories_are_read_back_and_add_up(earlier, tmp_path):
    _, memory = earlier
    path = tmp_path / MEMORY
    save_memory(path, [memory, memory])
    again = load_memory(path, tiny().field)
    assert len(again.fields) == 4
    assert torch.equal(again.fields.tensors["planes"][2:], memory.fields.tensors["planes"])  # both in half precision
    assert torch.equal(again.cameras.camera_to_world[:2], memory.cameras.camera_to_world)
    with pytest.raises(InputError, match="train the earlier run anew"):
        load_memory(path, dataclasses.replace(tiny().field, width=32))
    with pytest.raises(InputError, match="use its configuration"):  # no model is in it
        load_earlier(path, tiny().generator)
    save_memory(path, [dataclasses.replace(memory, background=memory.background[:1])])
    with pytest.raises(InputError, match="camera_to_world is of shape"):
        load_memory(path, tiny().field)


CONFIG = """
source: {name: procedural, size: 16, views: 6, train_scenes: 3, val_scenes: 1, test_scenes: 1}
encoder: {image: {image_size: 16, channels: [8, 16]}, set: {width: 32}, lift: {resolution: 4, channels: 8}}
hypernetwork: {latent: 16, width: 32, rank: 2}
field: {width: 16, depth: 1, position_frequencies: 2, plane_resolution: 6, plane_channels: 2, volume_resolution: 4}
train: {steps: 2, samples: 8, validations: 1, device: cpu, batch: {scenes: 2, rays: 16, context: [1, 2]}, continual: {scenes: 2}}
evaluate: {context_views: [1], max_target_views: 2, meshes: 1}
render: {samples: 8, grid: 8}
"""


def test_runs_in_a_row(tmp_path, monkeypatch):
    """Chairs, then cars, then lamps: each run hands on what all before it left, and starts where the last one ended."""
    monkeypatch.setattr("hypernerf.cli.fit.finish_run", lambda *given: None)
    config, last = tmp_path / "config.yaml", None
    config.write_text(CONFIG)
    for number, category in enumerate(("chairs", "cars", "lamps")):
        out = tmp_path / category
        more = [] if last is None else ["--continue-from", str(last), "--train.continual.weight", "1"]
        assert fit([str(config), "--out", str(out), "--source.categories", f"[{category}]", *more]) == 0
        run = load_run(out)
        assert len(load_memory(out / MEMORY, run.experiment.field).fields) == 2 * (number + 1)
        if last is not None:
            start = load_earlier(out / EARLIER, run.experiment.generator).state_dict()
            assert all(torch.equal(value, start[name]) for name, value in load_run(last).generator.state_dict().items())
        last = out


def test_going_on_from_nothing_is_refused(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    with pytest.raises(InputError, match="continue-from"):
        fit([str(config), "--out", str(tmp_path / "run"), "--train.continual.weight", "1"])
