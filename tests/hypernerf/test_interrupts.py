"""Whatever stops a run, it goes on where it was, and ends where it would have ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from hypernerf.cli import common, finish, fit
from hypernerf.interrupts import StoppedAtOnce, stopping_on_signals, whole
from hypernerf.training import Trainer, batches, trainer
from hypernerf.training.checkpoint import Checkpoint, load_for_resuming, saved_steps
from hypernerf.training.logs import read_metrics
from tests.hypernerf.test_cli import CONFIG

ROOT = Path(__file__).parent.parent.parent
STEPS = 40


pytestmark = pytest.mark.usefixtures("_one_thread")


def stop(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whole_work_is_finished_before_the_first_signal_stops_it(number):
    done, before = [], signal.getsignal(number)

    def finished_first():
        with whole():
            stop(number)
            done.append("inside")
        done.append("after")

    def stopped_amid():
        with whole():
            stop(number)
            done.append("once")
            stop()
            done.append("twice")

    def without_whole():
        stop(number)
        done.append("unguarded")

    for work, kind in ((finished_first, KeyboardInterrupt), (stopped_amid, StoppedAtOnce), (without_whole, KeyboardInterrupt)):
        with pytest.raises(KeyboardInterrupt) as caught, stopping_on_signals():
            work()
        assert type(caught.value) is kind
    assert done == ["inside", "once"] and signal.getsignal(number) is before


def test_other_threads_are_left_alone():
    done = []

    def work():
        with stopping_on_signals(), whole():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]


@pytest.fixture
def fit_in(tmp_path, monkeypatch):
    """Trains in a folder of the given name, in this process; the exit code."""
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    monkeypatch.setattr(fit, "finish_run", lambda *arguments: None)

    def run(name, *arguments, resume=False):
        command = command_in(tmp_path, name, *arguments, resume=resume)
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            common.run(fit.main)
        return end.value.code

    return run


def command_in(tmp_path, name, *arguments, resume=False):
    plan = ["--train.steps", STEPS, "--train.checkpoint_every", 13, "--train.threads", 1, "--train.loss.hull", 0.1]
    command = ["fit", tmp_path / "tiny.yaml", "--out", tmp_path / name, *plan, *arguments, *["--resume"] * resume]
    return list(map(str, command))


def at_step(monkeypatch, step, act):
    """`act` amid the training step that makes `step` of the step before it."""
    plain = Trainer._descend

    def descend(self):
        plain(self)
        if self.step == step - 1:
            act()

    monkeypatch.setattr(Trainer, "_descend", descend)


def assert_same(one: Checkpoint, two: Checkpoint):
    """To the bit: weights and their average, moments, occupancy, what is counted."""
    assert one.step == two.step and one.tensors.keys() == two.tensors.keys()
    for name, value in one.tensors.items():
        assert torch.equal(value, two.tensors[name]), name
    for part in ("model", "optimizer", "occupancy", "validated", "skipped_in_a_row", "facts"):
        assert_equal(one.state[part], two.state[part], part)


def assert_equal(one, two, where):
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key, value in one.items():
            assert_equal(value, two[key], f"{where}.{key}")
    else:
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two, where


def test_forty_steps_are_the_same_to_the_bit_however_they_were_interrupted(fit_in, tmp_path, monkeypatch):
    assert fit_in("straight") == 0
    straight = load_for_resuming(tmp_path / "straight", pytest.fail)

    with monkeypatch.context() as patched:  # SIGTERM amid step 13, then Ctrl-C in the validation at step 20
        at_step(patched, 13, stop)
        assert fit_in("stopped") == 130 and saved_steps(tmp_path / "stopped") == [13]
    with monkeypatch.context() as patched:
        patched.setattr(fit, "_validate", lambda *arguments: stop(signal.SIGINT))
        assert fit_in("stopped", resume=True) == 130 and saved_steps(tmp_path / "stopped") == [13, 20]
        assert load_for_resuming(tmp_path / "stopped").state["validated"] == 0
    assert fit_in("stopped", resume=True) == 0
    assert_same(straight, load_for_resuming(tmp_path / "stopped", pytest.fail))

    script = ROOT / "tools" / "fit_scenes.py"  # SIGKILL, somewhere after the checkpoint of step 13
    process = subprocess.Popen([sys.executable, script, *command_in(tmp_path, "killed")[1:]], stdout=subprocess.DEVNULL)
    while not saved_steps(tmp_path / "killed"):
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert saved_steps(tmp_path / "killed")[0] == 13 and saved_steps(tmp_path / "killed")[-1] < STEPS
    assert fit_in("killed", resume=True) == 0
    assert_same(straight, load_for_resuming(tmp_path / "killed", pytest.fail))
    for kind in ("train", "validation"):
        steps = [[entry["step"] for entry in read_metrics(tmp_path / name, kind)] for name in ("straight", "stopped", "killed")]
        assert steps == [[20, 40]] * 3


def test_a_second_signal_stops_at_once_and_the_last_checkpoint_is_as_it_was(fit_in, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        at_step(patched, 15, lambda: (stop(), stop()))  # amid a step
        assert fit_in("run") == 130
    assert [p.name for p in sorted((tmp_path / "run" / "checkpoints").iterdir())] == [
        "state_00000013.pt",
        "step_00000013.safetensors",
    ]
    before = load_for_resuming(tmp_path / "run", pytest.fail)
    with monkeypatch.context() as patched:  # amid the checkpoint that the first asked for
        replace = os.replace
        patched.setattr(os, "replace", lambda old, new: stop() if "00000016" in str(new) else replace(old, new))
        at_step(patched, 16, stop)
        assert fit_in("run", resume=True) == 130
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2
    assert_same(before, load_for_resuming(tmp_path / "run", pytest.fail))


PLACES = {
    "rendering scenes": (fit, "load_training", False),
    "building hulls": (trainer, "with_hulls", False),
    "looking at what is empty": (trainer.UnionOccupancy, "update", True),
    "drawing a batch": (batches, "draw_hull_points", True),
    "validation": (fit, "_validate", True),
    "the checkpoint itself": (trainer, "mean_code", True),
    "measuring": (finish, "measure", True),
    "the turntable": (finish, "turntable", True),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_signal_is_obeyed_wherever_the_run_is(fit_in, tmp_path, monkeypatch, place):
    module, name, begun = PLACES[place]
    short = ["--train.steps", 4, "--train.validations", 1, "--source.train_scenes", 4, "--source.test_scenes", 1]
    plain, calls = getattr(module, name), []

    def stopped_once(*arguments, **named):
        calls.append(name)
        if len(calls) == 1:
            stop()
        return plain(*arguments, **named)

    monkeypatch.setattr(module, name, stopped_once)
    monkeypatch.setattr(fit, "finish_run", finish.finish_run)
    assert fit_in("run", *short) == 130 and len(calls) >= 1
    assert bool(saved_steps(tmp_path / "run")) == begun
    if begun:
        load_for_resuming(tmp_path / "run", pytest.fail)
    monkeypatch.setattr(fit, "finish_run", lambda *arguments: None)
    assert fit_in("run", *short, resume=True) == 0
    assert load_for_resuming(tmp_path / "run").step == 4 and not list((tmp_path / "run").rglob(".*"))


def test_other_settings_are_refused_with_the_difference_shown(fit_in, tmp_path, monkeypatch, capsys):
    at_step(monkeypatch, 3, stop)
    assert fit_in("run") == 130
    changed = ["--field.width", 32, "--source.train_scenes", 7, "--train.learning_rate", 0.002]
    capsys.readouterr()
    assert fit_in("run", *changed, resume=True) == 2
    error = capsys.readouterr().err
    for text in ("field.width 16 -> 32", "source.train_scenes 8 -> 7", "train.learning_rate 0.001 -> 0.002", "--allow-change"):
        assert text in error
    assert len(error.strip().splitlines()) == 1
    (tmp_path / "run" / "config.yaml").write_text("train: {learning_rate: 0.002}")  # not what is compared with
    assert fit_in("run", *changed[4:], resume=True) == 2
    capsys.readouterr()
    assert fit_in("run", *changed[2:], "--allow-change", "source", "train.learning_rate", resume=True) == 2  # other scenes
    assert "scenes.count 8 -> 7" in capsys.readouterr().err
    free = ["--train.keep", 5, "--evaluate.meshes", 0, "--train.validations", 1]
    assert fit_in("run", *changed[4:], *free, "--allow-change", "train", resume=True) == 0
    assert load_for_resuming(tmp_path / "run").state["facts"]["train"]["learning_rate"] == 0.002
