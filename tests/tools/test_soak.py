"""A short soak of a training that leaks and slows down, and the verdict on made-up ones."""

import json
import sys

import numpy as np
import pytest

from hypernerf.types import InputError
from soak.child import Block
from soak.command import main
from soak.judge import judge
from soak.reference import Cost
from soak.watch import Record, Sample

CONFIG = """
source: {name: procedural, train_scenes: 3, val_scenes: 1, test_scenes: 1, views: 5, size: 16}
encoder: {image: {image_size: 16, channels: [8, 16]}, set: {width: 16}, lift: {resolution: 4, channels: 4}}
hypernetwork: {latent: 16, width: 16, rank: 2}
field: {width: 16, depth: 2, position_frequencies: 2, plane_resolution: 4, plane_channels: 2, volume_resolution: 4}
train: {samples: 4, checkpoint_every: 20, device: cpu, threads: 1, batch: {scenes: 2, rays: 8}}
evaluate: {context_views: [1]}
render: {samples: 4, grid: 8}
"""
LEAKING_AND_SLOWING = """
import sys, time
from hypernerf.cli import fit
from hypernerf.training import Trainer
from soak.child import main

plain, leaked = Trainer.train_step, []

def train_step(self, *rest):
    leaked.append(b"x" * (1 << 20))
    time.sleep(0.002 * len(leaked))
    return plain(self, *rest)

Trainer.train_step = train_step
fit.finish_run = lambda *rest: None
sys.exit(main(sys.argv[1:]))
"""


def test_a_training_that_leaks_and_slows_down_is_found_out(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "child.py").write_text(LEAKING_AND_SLOWING)
    length = ["--minutes", "0.07", "--train.minutes", "30", "--train.steps", "60"]  # however busy the machine is
    arguments = [str(tmp_path / "config.yaml"), *length, "--json", str(tmp_path / "soak.json")]
    assert main(arguments, (sys.executable, str(tmp_path / "child.py"))) == 1
    figures, output = json.loads((tmp_path / "soak.json").read_text()), capsys.readouterr().out
    assert not figures["flat"] and not figures["steady"] and not figures["good"]
    assert figures["memory"]["growth"] > 0.02 and figures["wall"]["change"] > 0.05
    assert (figures["steps"], figures["checkpoints"]) == (60, 4) and figures["validations"] > 0
    assert "NOT FLAT" in output and "SLOWER" in output


def test_what_ends_the_training_ends_the_soak(tmp_path, capfd):
    refused = (sys.executable, "-c", "import sys; sys.exit(f'error: {sys.argv[3]}: no such configuration')")
    assert main([str(tmp_path / "none.yaml"), "--minutes", "1"], refused) == 1
    assert "none.yaml: no such configuration" in capfd.readouterr().err
    with pytest.raises(InputError, match="--minutes"):
        main([str(tmp_path / "none.yaml"), "--minutes", "0"])


def made_up(
    growth: float = 0.0, slowdown: float = 0.0, busier: float = 0.0, hiccup: float = 0.0, warm_up: float = 0.0, warm: int = 60,
    settled: int = 60,
) -> Record:  # fmt: skip
    """An hour's record: 720 readings of 40 steps, 3 % of noise on times, 0.3 % on memory; by what share things grow in it.

    The first `warm` readings take less memory by `warm_up`; the first checkpoint comes before the reading `settled`.
    """
    rng, record = np.random.default_rng(0), Record()
    for number in range(720):
        at, share = 5.0 * number, number / 719
        times = 0.1 * (1 + slowdown * share), 0.03
        noise = 1 + 0.03 * rng.standard_normal(4)
        load = 1 + busier * share
        step, reference = (Cost(t * load * a, t * 2 * load * b) for t, a, b in zip(times, noise[:2], noise[2:], strict=True))
        record.blocks.append(Block(at, at + 5, 40, step, reference, number >= settled))
        for second in range(5):
            size = 1e9 * (1 + growth * share) * (1 + 0.003 * rng.standard_normal())
            size *= 1 + hiccup * (number % 36 == 0) - warm_up * (number < warm)
            record.samples.append(Sample(at + second, int(size)))
    return record


@pytest.mark.parametrize(
    ("kind", "flat", "steady"),
    [
        ({}, True, True),
        ({"growth": 0.05}, False, True),
        ({"growth": -0.05}, False, True),
        ({"growth": 0.01}, True, True),
        ({"slowdown": 0.15}, True, False),
        ({"slowdown": -0.15}, True, True),
        ({"busier": 1.0}, True, True),  # the reference takes longer too
        ({"busier": 1.0, "slowdown": 0.15}, True, False),
        ({"hiccup": 0.3}, True, True),  # validations
        ({"warm_up": 0.3}, True, True),
        ({"warm_up": 0.3, "warm": 150, "settled": 150}, True, True),  # a slow machine: the first checkpoint comes late
        ({"warm_up": 0.3, "warm": 150}, False, True),
    ],
)
def test_the_verdict(kind, flat, steady):
    verdict = judge(made_up(**kind))
    assert (verdict.flat, verdict.steady, verdict.good) == (flat, steady, flat and steady)


def test_figures_against_what_was_made_up():
    """Over the last nine tenths: growth of 0.1 x 0.9 beside 1 + 0.1 x 0.1; quarters whose middles lie 0.675 of the time apart."""
    verdict = judge(made_up(growth=0.1, slowdown=0.4, busier=0.5))
    assert verdict.memory.growth == pytest.approx(0.09 / 1.01, abs=0.005)
    first, last = 0.1 + 0.9 / 8, 1 - 0.9 / 8
    assert verdict.cpu.relative_change == pytest.approx((1 + 0.4 * last) / (1 + 0.4 * first) - 1, abs=0.015)
    assert verdict.wall.reference_change == pytest.approx((1 + 0.5 * last) / (1 + 0.5 * first) - 1, abs=0.015)
    both = (1 + 0.4 * last) * (1 + 0.5 * last) / ((1 + 0.4 * first) * (1 + 0.5 * first)) - 1
    assert verdict.wall.change == pytest.approx(both, abs=0.02)
    assert verdict.wall.first_ms == pytest.approx(100 * (1 + 0.4 * first) * (1 + 0.5 * first), rel=0.02)


def test_too_little_to_judge_by():
    record = made_up()
    assert judge(Record(record.blocks[:7], record.samples)) is None
    assert judge(Record(record.blocks, record.samples[:600])) is None
