"""The commands of the members that know what they do not know, remember, stream and move, on one barely trained run."""

from __future__ import annotations

import json
import math
import re

import pytest
from PIL import Image

from hypernerf.cli.fit import main as fit
from hypernerf.cli.reconstruct import main as reconstruct
from hypernerf.cli.render_views import main as render
from members import main as family

CONFIG = """
source: {name: procedural, categories: [lamps], moving: true, size: 16, views: 12, train_scenes: 2, val_scenes: 1, test_scenes: 2}
encoder: {image: {image_size: 16, channels: [8, 16]}, set: {kind: recurrent, width: 32}, lift: {resolution: 4, channels: 8}}
hypernetwork: {latent: 16, width: 32, rank: 2, factors: 2, time: 1}
field: {width: 16, depth: 1, position_frequencies: 2, plane_resolution: 6, plane_channels: 2, volume_resolution: 4}
train: {steps: 2, samples: 8, validations: 1, device: cpu, batch: {scenes: 2, rays: 16, context: [1, 2]}, loss: {spread: 1.0}}
evaluate: {context_views: [1], max_target_views: 2, meshes: 1}
render: {samples: 8, grid: 8}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    (folder / "config.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hypernerf.cli.fit.finish_run", lambda *given: None)
        assert fit([str(folder / "config.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("member", "more", "rows"),
    [
        ("uncertainty", [], 12),
        ("stream", ["--views", "3"], 3),
        ("time", ["--context-views", "1"], 6),
        ("continual", ["--context-views", "1"], 1),
    ],
)
def test_members_write_figures_and_a_picture(run, tmp_path, member, more, rows):
    picture, figures = tmp_path / "a.png", tmp_path / "a.json"
    family([member, str(run), *more, "-o", str(picture), "--json", str(figures)])
    found = json.loads(figures.read_text())["rows"]
    assert len(found) == rows
    assert all(math.isfinite(value) for row in found for value in row.values() if isinstance(value, float))
    assert min(Image.open(picture).size) > 16


def test_a_view_is_suggested_and_uncertainty_is_drawn(run, tmp_path, capsys):
    scene, frames = tmp_path / "lamp.field.safetensors", tmp_path / "frames"
    read = ["reconstruct", str(run), "--scene", "test-lamps-00000"][1:]
    reconstruct([*read, "--views", "0", "3", "--suggest-view", "-o", str(scene)])
    named = re.search(r"view (\d+) would tell most", capsys.readouterr().out)
    assert named and int(named[1]) not in (0, 3)
    reconstruct([*read, "--suggest-view", "-o", str(scene)])
    assert "a camera at (" in capsys.readouterr().out
    render([str(scene), "--uncertainty", "--orbit", "1", "--size", "16", "16", "--samples", "8", "-o", str(frames)])
    assert Image.open(frames / "0000.png").size == (32, 16)
