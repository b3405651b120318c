"""The measurement of training on packed scenes, small; and that it would see what it looks for."""

import json
from dataclasses import replace

import pytest
import torch

from hypernerf.types import InputError
from scenes.sharded import ShardedConfig, ShardedSource
from soak.judge import Memory
from streams import collection
from streams.command import main
from streams.measure import Figures
from tests.tools.test_soak import CONFIG

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_a_small_measurement(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(collection, "DISTINCT", 4)
    model = CONFIG[CONFIG.index("encoder") :].replace("checkpoint_every: 20, ", "")
    (tmp_path / "config.yaml").write_text(model)
    arguments = [
        str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out"), "--json", str(tmp_path / "f.json"), "--scenes", "10",
        "--size", "16", "--views", "4", "--shard-scenes", "2", "--steps", "96", "--source.buffer", "4", "--source.repeat", "16",
    ]  # fmt: skip
    assert main(arguments) in (0, 1)  # which of them is the machine's affair
    figures = json.loads((tmp_path / "f.json").read_text())
    assert (figures["scenes"], figures["shards"], figures["shards_held"], figures["steps"]) == (10, 5, 2, 96)
    # 2 scenes a step, shards of 2: one further every 16 steps; the sample, then those of the last window and one ahead
    assert figures["shards_read"] == 95 // 16 + 2 + 1
    assert (
        0 < figures["waited"] + figures["read"] < 1 and figures["made_seconds"] > 0 and len(figures["memory"]["megabytes"]) == 24
    )
    source = ShardedSource(ShardedConfig(name="sharded", root=str(tmp_path / "out")))
    scenes = {scene.key: scene for shard in range(5) for scene in source.read("train", shard)}
    first = scenes["train-chairs-00000-00000"]
    assert len(scenes) == 10 and len(source.scene_ids("val")) == 8
    assert torch.equal(scenes["train-chairs-00000-00001"].images, first.images[..., [0, 2, 1]])
    assert "10 scenes in 5 shards" in capsys.readouterr().out
    with pytest.raises(InputError, match="holds 10 training scenes"):
        main([*arguments, "--scenes", "11"])


GOOD = Figures(20_000, 79, 8, 1.0, 1.0, 2000, 50.0, 20, 0.01, 0.02, 0.05, Memory([600.0] * 24, 0.001, 0.002))


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"first_batch_seconds": 5.5}, False),
        ({"waited": 0.04}, False),
        ({"read": 0.06}, False),
        ({"drawn": 0.2}, True),  # no reading: scenes in memory cost it too
        ({"memory": Memory([600.0] * 24, 0.03, 0.015)}, False),
    ],
)
def test_what_it_would_see(change, good):
    assert replace(GOOD, **change).good == good
