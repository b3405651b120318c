"""The measurement of twice as many scenes, small; and that it would see what it looks for."""

import json
import multiprocessing

import pytest

from hypernerf.types import InputError
from scenes.sharded import ShardedConfig, ShardedSource
from streams import collection
from streams.doubling import judged, main
from streams.turns import Block, _turn
from tests.tools.test_soak import CONFIG

pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "DISTINCT", 4)
    (tmp_path / "config.yaml").write_text(CONFIG[CONFIG.index("encoder") :].replace("checkpoint_every: 20, ", ""))
    return [
        str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out"), "--json", str(tmp_path / "f.json"), "--scenes", "4",
        "--size", "16", "--views", "4", "--shard-scenes", "2", "--steps", "5", "--turns", "2", "--source.buffer", "2",
    ]  # fmt: skip


def test_a_small_measurement(command, tmp_path, capsys):
    assert main(command) in (0, 1)  # which of them is the machine's affair
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["scenes"] == [4, 8] and figures["steps"] == 10
    for ratio, parts in (("step_ratio", "step_ms"), ("memory_ratio", "megabytes")):
        once, twice = figures[parts]
        assert once > 0 and figures[ratio] == pytest.approx(twice / once)
    assert "4 and 8 scenes, 10 steps each" in capsys.readouterr().out
    small, large = (ShardedSource(ShardedConfig(name="sharded", root=str(tmp_path / "out" / n))) for n in ("once", "twice"))
    assert small.scene_ids("train") == large.scene_ids("train")[:4] and len(large.scene_ids("train")) == 8
    assert small.scene_ids("test") == large.scene_ids("test")
    with pytest.raises(InputError, match="holds 4 training scenes, not 6"):
        main([*command, "--scenes", "6"])
    with pytest.raises(InputError, match="must divide"):
        main([*command, "--scenes", "5"])


def test_a_training_that_fails_says_why(command):
    with pytest.raises(InputError, match="device 'cuda:77' asked for"):
        main([*command, "--train.device", "cuda:77"])


def test_a_training_that_is_gone_is_named(tmp_path):
    mine, its = multiprocessing.Pipe()
    its.close()
    with pytest.raises(InputError, match="the training in once ended before it was done"):
        _turn(mine, tmp_path / "once")


ONCE = [Block([9.0, 9.0], 1), *[Block([0.10, 0.10, 0.10, 0.30], 500_000_000)] * 4]


@pytest.mark.parametrize(
    ("seconds", "megabytes", "good"),
    [
        ([0.10, 0.10, 0.10, 0.30], 500, True),
        ([0.104, 0.104, 0.104, 0.30], 520, True),
        ([0.106, 0.106, 0.106, 0.30], 500, False),
        ([0.10, 0.10, 0.10, 0.30], 530, False),
        ([0.09, 0.09, 0.09, 0.30], 500, False),  # not unchanged either: something was not the same
    ],
)
def test_what_it_would_see(seconds, megabytes, good):
    """The first turn and, of memory, the first half do not count."""
    early, late = Block(seconds, 1), Block(seconds, megabytes * 1_000_000)
    result = judged((10, 20), ONCE, [Block([0.5], 10), early, early, late, late])
    assert result.good == good and result.steps == 16 and result.megabytes == (500.0, megabytes)
    assert result.step_ratio == pytest.approx(seconds[0] / 0.10)
    assert result.mean_step_ratio == pytest.approx(sum(seconds) / 0.60)
