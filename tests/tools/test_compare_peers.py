"""The comparison as people run it, as far as it needs no clone of a peer's repository."""

import json
import math

import numpy as np
import pytest
import torch

from hypernerf.types import InputError
from peers.command import PEERS, main
from peers.common import Kind
from peers.scratch import ScratchConfig
from scenes.writing import write_scene
from tests.conftest import orbit, run_tool

CONFIG = """
source: {name: procedural, train_scenes: 4, val_scenes: 1, test_scenes: 2, views: 6, size: 16}
field: {width: 16, depth: 1, position_frequencies: 2, plane_resolution: 6, volume_resolution: 4}
train: {samples: 8, validations: 1, minutes: 0.01}
evaluate: {context_views: [1, 2], max_target_views: 2}
render: {samples: 8, grid: 16}
"""


@pytest.mark.parametrize("peer", [name for name, kind in PEERS.items() if kind.repository is not None])
@pytest.mark.parametrize("given", [False, True])
def test_a_missing_repository_is_one_line_that_says_what_to_clone(tmp_path, peer, given):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    repo = ["--repo", str(tmp_path)] if given else []
    with pytest.raises(InputError) as caught:
        main([peer, str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "run"), *repo])
    repository, message = PEERS[peer].repository, str(caught.value)
    assert f"git clone {repository.url}" in message and repository.commit[:12] in message and "\n" not in message
    assert not (tmp_path / "run").exists()


def test_an_error_is_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    code, _, error = run_tool("compare_peers", "trans-inr", tmp_path / "tiny.yaml", "--out", tmp_path / "run")
    assert code == 2 and len(error.strip().splitlines()) == 1 and "git clone" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody", "tiny.yaml"], "nobody"),
        (["scratch", "tiny.yaml", "--learning-rate", "-1"], "learning-rate"),
        (["scratch", "tiny.yaml", "--minutes", "-1"], "--minutes"),
        (["scratch", "tiny.yaml", "--context-views", "0"], "--context-views"),
        (["scratch", "tiny.yaml", "--context-views", "6"], "too few"),
        (["scratch", "tiny.yaml", "--peer.raze", "3"], "did you mean 'rays'"),
        (["scratch", "tiny.yaml", "--source.background", "1", "1", "0"], "white background"),
        (["scratch", "none.yaml"], "none.yaml"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, message):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    peer, config, *rest = arguments
    with pytest.raises(InputError) as caught:
        main([peer, str(tmp_path / config), "--out", str(tmp_path / "run"), *rest])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_from_end_to_end(tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    command = ["compare_peers", "scratch", tmp_path / "tiny.yaml", "--out", tmp_path / "run"]
    code, output, error = run_tool(*command)
    assert code == 0, error + output
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["scenes"] == 2 and set(metrics["context_views"]) == {"1", "2"} and metrics["commit"] is None
    assert set(metrics["models"]) == {"1", "2"} and metrics["models"]["1"]["minutes"] >= 0.01
    assert all(3 < scores["psnr"] < 40 for scores in metrics["context_views"].values())
    assert "unseen: 2 views" in output
    code, _, error = run_tool(*command)
    assert code == 2 and "--resume" in error
    code, _, error = run_tool(*command, "--resume", "--split", "val")
    assert code == 2 and "other settings (split)" in error
    code, output, error = run_tool(*command, "--resume", "--minutes", "0.02", "--context-views", "2")
    assert code == 0 and "resumed at step" in output, error
    longer = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert longer["models"]["2"]["minutes"] >= 0.02 and longer["models"]["1"] == metrics["models"]["1"]
    assert longer["models"]["2"]["steps"] > metrics["models"]["2"]["steps"]


def test_a_held_out_pack_is_scored_by_itself(tmp_path, monkeypatch):
    """With a peer that predicts one gray everywhere, so that both scores are known."""
    for number, split in enumerate(("train", "train", "val", "test")):
        shade(tmp_path / f"set_{split}" / f"{split}{number}", 200)
    shade(tmp_path / "pack_test" / "other", 120)
    source = f"source: {{name: srn, root: {tmp_path / 'set'}, radius: 1.0}}"
    (tmp_path / "own.yaml").write_text(CONFIG.replace(CONFIG.splitlines()[1], source))
    monkeypatch.setitem(PEERS, "gray", Kind(ScratchConfig, lambda *_: Gray(), any_count=True))
    command = ["gray", str(tmp_path / "own.yaml"), "--out", str(tmp_path / "run"), "--steps", "2"]
    assert main([*command, "--also", str(tmp_path / "pack")]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["scenes"] == metrics["also"]["scenes"] == 1
    for part, value in ((metrics, 200), (metrics["also"], 120)):
        expected = -20 * math.log10(abs(value - 100) / 255)
        for scores in part["context_views"].values():
            assert scores["psnr"] == pytest.approx(expected, abs=0.01)


class Gray:
    """Predicts 100 of 255."""

    def __init__(self):
        self.model = torch.nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)

    def step(self, moment):
        return 0.0

    def predict(self, scene, views, targets):
        return torch.full((len(targets), *scene.images.shape[1:]), 100 / 255)


def shade(folder, value):
    """A scene that is of one gray in all of its views, as SRN keeps it."""
    folder.parent.mkdir(exist_ok=True)
    pixels = np.full((6, 16, 16, 4), value, dtype=np.uint8)
    pixels[..., 3] = 255
    write_scene(folder, "srn", pixels, orbit(6, size=16))
