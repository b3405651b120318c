"""Several processes train what one would have trained, decide alike, stop together, and are taken up again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hypernerf.training.checkpoint import load_for_resuming, saved_steps
from hypernerf.training.logs import read_metrics
from tests.hypernerf.ranks import CONFIG, Plan, fit_in_ranks
from tests.hypernerf.test_interrupts import assert_same

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.timeout(900)  # starting processes takes minutes on a busy machine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks")
    (path / "tiny.yaml").write_text(CONFIG)
    return path


def arguments(folder, name, *more):
    return tuple(map(str, (folder / "tiny.yaml", "--out", folder / name, *more)))


@pytest.fixture(scope="module")
def straight(folder):
    """Forty steps of two ranks that nobody disturbs."""
    ranks = fit_in_ranks(2, Plan(arguments(folder, "straight")))
    assert [rank.code for rank in ranks] == [0, 0], ranks[0].errors + ranks[1].errors
    return ranks


def test_two_ranks_learn_what_one_process_learns(folder, straight):
    (alone,) = fit_in_ranks(1, Plan(arguments(folder, "alone")))
    assert alone.code == 0, alone.errors
    for rank in straight:
        assert len(rank.steps) == 40 and rank.steps == straight[0].steps  # losses, PSNR and minutes are those of all
        assert np.allclose([s[1] for s in rank.steps], [s[1] for s in alone.steps], rtol=1e-4, atol=0)
        assert np.allclose([s[2] for s in rank.steps], [s[2] for s in alone.steps], rtol=1e-4, atol=0)
    one, two = (rank.weights for rank in straight)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert any(not np.array_equal(one[name], alone.weights[name]) for name in one)  # sums are rounded elsewhere: two did train


def test_one_rank_writes(folder, straight):
    run = folder / "straight"
    assert saved_steps(run) == [39, 40] and not list(run.rglob(".*"))
    assert [e["step"] for e in read_metrics(run, "train")] == [20, 40] == [e["step"] for e in read_metrics(run, "validation")]
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4


def test_a_killed_rank_is_started_again_by_torchrun_and_the_end_is_the_same_to_the_bit(folder, straight):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    command = [*torchrun, str(ROOT / "tools" / "fit_scenes.py"), *arguments(folder, "killed", "--resume")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while not saved_steps(folder / "killed"):
            assert process.poll() is None
            time.sleep(0.001)
        os.kill(child_of_rank(process.pid, 1), signal.SIGKILL)
        output, _ = process.communicate(timeout=800)
    finally:
        process.terminate()  # its ranks too
    assert process.returncode == 0 and "resumed at step" in output, output
    assert_same(load_for_resuming(folder / "straight", pytest.fail), load_for_resuming(folder / "killed", pytest.fail))


def child_of_rank(parent: int, rank: int) -> int:
    """The process of that rank among the children of torchrun."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (found,) = [c for c in children if f"\0RANK={rank}\0".encode() in Path(f"/proc/{c}/environ").read_bytes()]
    return int(found)


def test_a_signal_to_one_rank_stops_all_after_the_same_step_and_any_number_goes_on(folder, straight):
    ranks = fit_in_ranks(2, Plan(arguments(folder, "stopped"), stop=(1, 16)))
    assert [rank.code for rank in ranks] == [130, 130], ranks[0].errors + ranks[1].errors
    assert [rank.steps[-1][0] for rank in ranks] == [16, 16] and saved_steps(folder / "stopped") == [13, 16]
    three = fit_in_ranks(3, Plan(arguments(folder, "stopped", "--resume", "--train.keep", 9), stop=(2, 27)))
    assert [rank.code for rank in three] == [130] * 3 and three[0].steps[0][0] == 17
    again = fit_in_ranks(2, Plan(arguments(folder, "stopped", "--resume")))
    assert [rank.code for rank in again] == [0, 0]
    losses = [s[1] for rank in (ranks[0], three[0], again[0]) for s in rank.steps]
    assert np.allclose(losses, [s[1] for s in straight[0].steps], rtol=1e-4, atol=0)


def test_ranks_skip_a_step_together(folder):
    ranks = fit_in_ranks(2, Plan(arguments(folder, "spoiled"), spoiled=(1, (3, 9, 10, 11))))
    assert [rank.code for rank in ranks] == [2, 2]
    for rank in ranks:
        skipped = [step for step, *_, names in rank.steps if names]
        assert skipped == [3, 9, 10] and rank.steps[2][-1] == ranks[0].steps[2][-1]
        assert len(rank.steps[2][-1]) == 6  # of both ranks
    assert "3 steps in a row" in ranks[0].errors and ranks[1].errors == ""
    assert len(list((folder / "spoiled").glob("nonfinite_*.pt"))) == 1


def test_ranks_minimize_further_losses_too(folder):
    more = ("--hypernetwork.factors", 2, "--train.loss.spread", 1, "--train.warmup", 0)
    runs = {n: fit_in_ranks(2, Plan(arguments(folder, f"spread_{n}", *more, "--train.steps", n))) for n in (1, 3)}
    assert [rank.code for run in runs.values() for rank in run] == [0] * 4, runs[1][0].errors
    moved = {name: not np.array_equal(value, runs[3][0].weights[name]) for name, value in runs[1][0].weights.items()}
    assert all(moved[name] for name in moved if "spreads" in name and name.endswith("weight"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--train.batch.scenes", 5], "train.batch.scenes 5 cannot be shared evenly by 2 processes"),
        (["--train.stepz", 5], "did you mean 'steps'"),
    ],
)
def test_what_is_wrong_for_all_is_said_once(folder, more, message):
    ranks = fit_in_ranks(2, Plan(arguments(folder, "refused", *more)))
    assert [rank.code for rank in ranks] == [2, 2]
    assert message in ranks[0].errors and len(ranks[0].errors.splitlines()) == 1 and ranks[1].errors == ""
