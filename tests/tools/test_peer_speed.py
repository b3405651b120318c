"""Trans-INR beside ours: what is compared with what, with a small stand-in for a clone of its repository."""

import dataclasses
import importlib.util
import json
import sys
import types

import numpy as np
import pytest
import torch

from hypernerf.cli.benchmark_run import EVERYWHERE, REFERENCE, view_of
from hypernerf.config import dump_yaml, load_yaml
from hypernerf.models import EncoderConfig, Generator, ImageEncoderConfig
from hypernerf.rendering import RenderSettings, render_views
from hypernerf.training import Experiment
from hypernerf.training.metrics import psnr
from hypernerf.types import InputError
from peers import drawing, trans_inr
from peers.drawing import THEIRS, THEIRS_OUR_FIELD, AsTheirs, pictures, their_picture
from peers.equal import EqualTransInr, Sizes, matched_encoder, our_encoder_parameters, our_rivals
from peers.speed import main
from tests.conftest import tiny
from tests.tools.stand_in_clone import write_clone

pytestmark = pytest.mark.usefixtures("_one_thread")
SMALL = Sizes(
    scenes=2, rays=16, samples=4, patch=8, dim=64, layers=1, heads=2, field_layers=3, field_width=16, frequencies=4, view=16,
    view_samples=64, view_rays=100,
)  # fmt: skip


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Its folder; nothing that is imported from it stays."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in trans_inr.REPOSITORY.packages:
        if importlib.util.find_spec(name) is None:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    before = set(sys.modules)
    yield write_clone(tmp_path / "clone")
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("models", "utils", "trainers", *trans_inr.REPOSITORY.unused):
            del sys.modules[name]


@pytest.fixture
def peer(clone, stored):
    return EqualTransInr(SMALL, stored[:2], tiny(), trans_inr.REPOSITORY.open(clone))


def test_the_command_from_end_to_end(clone, tiny_run, tmp_path):
    values = load_yaml(tiny_run / "config.yaml")
    (tmp_path / "tiny.yaml").write_text(dump_yaml(values))
    sizes = [word for name, value in dataclasses.asdict(SMALL).items() for word in (f"--equal.{name}", str(value))]
    command = ["--repo", str(clone), "--config", str(tmp_path / "tiny.yaml"), "--views", "2", "--repeats", "1", *sizes]
    assert main([*command, "--run", str(tiny_run), "--json", str(tmp_path / "f.json")]) == 0
    facts = json.loads((tmp_path / "f.json").read_text())
    steps = {row["code"]: row for row in facts["rows"] if row["what"] == "training step, 2 views"}
    drawn = {row["code"]: row for row in facts["rows"] if row["what"] == "view 16 x 16"}
    assert list(steps) == ["Trans-INR", "ours, equal encoder", "ours, attention", "ours, as configured"]
    assert list(drawn)[:2] == [THEIRS, THEIRS_OUR_FIELD] and len(drawn) >= 3 and facts["sizes"]["dim"] == 64
    for rows, reference, ratio in (
        (steps, "Trans-INR", "ratio"),
        (drawn, THEIRS, "ratio"),
        (drawn, THEIRS_OUR_FIELD, "same_field"),
    ):
        for row in rows.values():
            assert row[ratio] == pytest.approx(rows[reference]["milliseconds"] / row["milliseconds"])
    theirs = (3 * 8**2 + 1) * 64 + 65 * 64
    assert steps["Trans-INR"]["encoder_parameters"] == theirs < steps["Trans-INR"]["all_parameters"]
    assert steps["ours, equal encoder"]["encoder_parameters"] == pytest.approx(theirs, rel=0.2)
    with pytest.raises(InputError, match="did you mean 'rays'"):
        main([*command, "--equal.raze", "3"])


def test_the_dimensions_are_the_same_on_both_sides(peer):
    field = drawing.their_field(peer)
    assert [tuple(weight.shape[-2:]) for weight in field.weights] == [(24, 16), (16, 16), (16, 4)]
    assert (peer.trainer.cfg["train_n_rays"], peer.trainer.cfg["train_points_per_ray"]) == (16, 4)
    for name, ours in our_rivals(SMALL, tiny(), 2, peer.encoder_parameters).items():
        batch = ours.train.batch
        assert (batch.scenes, batch.rays, batch.context, ours.train.samples, ours.train.backend) == (2, 16, (2, 2), 4, "auto")
        shapes = [shape for key, shape in ours.field.param_shapes.items() if key.startswith("layer")]
        assert name == "ours, as configured" or shapes == [(16, 3 + 24 + 1), (16, 16), (4, 16)] == list(
            ours.field.param_shapes.values()
        )


def test_a_step_of_theirs_steps(peer, stored):
    before = [value.clone() for value in peer.model.parameters()]
    assert peer.train_step(peer.data(stored[:2], 2, np.random.default_rng(0))) > 0
    assert all(not torch.equal(a, b) for a, b in zip(before, peer.model.parameters(), strict=True))


@pytest.mark.parametrize("target", [300_000, 1_887_936])
def test_encoders_are_matched_by_their_parameters(target):
    encoder = matched_encoder(EncoderConfig(ImageEncoderConfig(64, (16, 32, 64), stem=4)), target)
    model = Generator(dataclasses.replace(Experiment(), encoder=encoder).generator)
    assert our_encoder_parameters(model) == pytest.approx(target, rel=0.03)


def test_their_renderer_draws_our_field_as_ours_does(peer, scene_field):
    sizes = dataclasses.replace(SMALL, view_samples=400)
    theirs = their_picture(peer.utils, scene_field, sizes, AsTheirs(scene_field.weights))
    ours = render_views(scene_field.weights, view_of(scene_field, 16), torch.ones(3), RenderSettings(REFERENCE), EVERYWHERE)
    assert theirs.shape == (1, 16, 16, 3) and float(psnr(theirs, ours.color)) > 35 and float(ours.color.std()) > 0.1
    fog = dataclasses.replace(scene_field, weights=foggy(scene_field.weights))
    corner = their_picture(peer.utils, fog, sizes, AsTheirs(fog.weights))[0, 0, 0]
    assert float(corner.min()) > 0.999  # a ray that misses the unit sphere, outside which ours is empty


def test_ours_is_drawn_with_more_samples_until_it_is_near_enough(peer, scene_field, monkeypatch):
    enough = pictures(peer, SMALL, scene_field, RenderSettings(48, 24), 1)
    assert list(enough) == [THEIRS, THEIRS_OUR_FIELD, "ours, 48 samples"] and enough[THEIRS].psnr is None
    few = pictures(peer, SMALL, scene_field, RenderSettings(1, 24), 1)
    assert list(few)[2] == "ours, 1 samples: worse" and few["ours, 1 samples: worse"].psnr < few[THEIRS_OUR_FIELD].psnr
    (last,) = list(few)[3:]
    assert "worse" not in last and few[last].psnr >= min(drawing.EQUAL, few[THEIRS_OUR_FIELD].psnr)
    monkeypatch.setattr(drawing, "DOUBLINGS", 1)
    assert list(pictures(peer, SMALL, scene_field, RenderSettings(1, 24), 1))[-1] == "ours, 2 samples: worse"


def test_a_background_that_theirs_does_not_know_is_refused(peer, scene_field):
    with pytest.raises(InputError, match="white background"):
        pictures(peer, SMALL, dataclasses.replace(scene_field, background=(0.0, 0.0, 0.0)), RenderSettings(), 1)


def foggy(weights):
    """Everywhere opaque."""
    last = weights.tensors["layer_1"].clone()
    last[0, 0] = 0
    last[0, 0, 0] = 100
    return dataclasses.replace(weights, tensors={**weights.tensors, "layer_1": last})
