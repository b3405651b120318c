"""Checkpoints are there whole or not at all, and damage is found out."""

import os
import resource
import subprocess
from contextlib import contextmanager, nullcontext

import pytest
import torch

from hypernerf.files import remove_leftovers, write_atomically
from hypernerf.training import Trainer
from hypernerf.training.checkpoint import load_checkpoint, load_for_resuming, save_checkpoint, saved_steps
from hypernerf.types import InputError
from tests.conftest import tiny

pytestmark = pytest.mark.usefixtures("_one_thread")


def save(run, step, numbers=3, keep=2):
    values = torch.full((numbers,), float(step))
    save_checkpoint(run, step, {"x": values}, {"y": step, "z": values + 1}, keep)


def flip_last_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def flip_stored_number(path):
    data = bytearray(path.read_bytes())
    where = data.rindex(torch.full((3,), 4.0).numpy().tobytes())
    data[where] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "weights cut off": lambda folder: os.truncate(folder / "step_00000003.safetensors", 50),
    "weights with a bit flipped": lambda folder: flip_last_bit(folder / "step_00000003.safetensors"),
    "weights empty": lambda folder: (folder / "step_00000003.safetensors").write_bytes(b""),
    "state cut off": lambda folder: os.truncate(folder / "state_00000003.pt", 50),
    "state with a bit flipped": lambda folder: flip_stored_number(folder / "state_00000003.pt"),
    "state missing": lambda folder: (folder / "state_00000003.pt").unlink(),
    "state of another step": lambda folder: os.replace(folder / "state_00000002.pt", folder / "state_00000003.pt"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_invalid_checkpoint_is_named_and_the_one_before_taken(tmp_path, damage):
    for step in (1, 2, 3):
        save(tmp_path, step, keep=3)
    folder, said = tmp_path / "checkpoints", []
    if damage == "state of another step":
        save(tmp_path, 2, keep=3)
    DAMAGES[damage](folder)
    checkpoint = load_for_resuming(tmp_path, said.append)
    expected = 1 if damage == "state of another step" else 2
    assert checkpoint.step == checkpoint.state["y"] == expected and checkpoint.tensors["x"].tolist() == [expected] * 3
    assert len(said) == 3 - expected and "00000003" in said[0] and "\n" not in said[0]
    if damage.startswith("weights"):  # what is only looked at is not asked for its state
        assert load_checkpoint(tmp_path, said.append)[0] == 2
    else:
        assert load_checkpoint(tmp_path)[0] == 3


def test_where_nothing_is_valid_the_oldest_is_named(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        load_for_resuming(tmp_path)
    save(tmp_path, 1)
    flip_last_bit(tmp_path / "checkpoints" / "step_00000001.safetensors")
    with pytest.raises(InputError, match=r"step_00000001.*damaged"):
        load_for_resuming(tmp_path)


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_kept_and_nothing_else(tmp_path, keep):
    for step in (5, 10, 15, 20, 25):
        save(tmp_path, step, keep=keep)
    assert saved_steps(tmp_path) == [5, 10, 15, 20, 25][-keep:]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2 * keep
    (tmp_path / "checkpoints" / "step_00000099.safetensors").write_bytes(b"an invalid one, which was skipped")
    save(tmp_path, 30, keep=keep)
    assert saved_steps(tmp_path)[:-1] == [5, 10, 15, 20, 25, 30][-keep:]


def test_files_are_flushed_then_named_then_their_folder_is_flushed(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace

    def note_fsync(descriptor):
        events.append(f"flush {os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}')).split('.', 2)[-1]}")
        fsync(descriptor)

    def note_replace(old, new):
        events.append(f"name {new.name}")
        replace(old, new)

    save(tmp_path, 1)
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    save(tmp_path, 2)
    state, weights = "state_00000002.pt", "step_00000002.safetensors"
    one = [f"flush {state}", f"name {state}", "flush checkpoints"]
    assert events[1:] == one + [f"flush {weights}", f"name {weights}", "flush checkpoints"]


@contextmanager
def mounted(folder, size):
    """A small disk at `folder`."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting a disk is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def limited_files(folder, size):
    """No file may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("full", [mounted, limited_files], ids=["small disk", "limited files"])
def test_a_full_disk_is_said_and_the_last_checkpoint_is_intact(tmp_path, full):
    with full(tmp_path / "run", 400_000):
        save(tmp_path / "run", 1, numbers=10_000)
        with pytest.raises(InputError, match=r"00000002.*(No space left|too large).*make room"):
            save(tmp_path / "run", 2, numbers=120_000)
        checkpoint = load_for_resuming(tmp_path / "run", pytest.fail)
        assert checkpoint.step == 1 and checkpoint.tensors["x"].sum() == 10_000
        assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
        save(tmp_path / "run", 2, numbers=10_000)  # once there is room again
        assert load_for_resuming(tmp_path / "run").step == 2


def test_training_on_a_disk_that_becomes_read_only_ends_with_the_last_checkpoint_intact(stored, tmp_path):
    run, root = tmp_path / "run", os.geteuid() == 0  # who may mount, and whom modes do not stop

    def close_the_disk(report):
        if report.step == 6 and root:
            subprocess.run(["mount", "-o", "remount,ro", run], check=True)
        elif report.step == 6:
            (run / "checkpoints").chmod(0o500)

    with mounted(run, 4_000_000) if root else nullcontext():
        with pytest.raises(InputError, match=r"00000010.*(Read-only|Permission denied)"):
            Trainer(tiny(checkpoint_every=5), stored, run).run(close_the_disk, lambda trainer: None)
        assert load_for_resuming(run, pytest.fail).step == 5


def test_leftovers_of_killed_writers_are_removed_and_those_of_living_ones_are_not(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getpid(), os.getppid()):
        (tmp_path / f".{pid}.step_00000001.safetensors").write_text("half")
    for name in (".hidden.txt", "123.txt"):
        (tmp_path / name).write_text("not ours")
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {".hidden.txt", "123.txt", f".{os.getppid()}.step_00000001.safetensors"}


def test_a_writer_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def fail(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.txt", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"
