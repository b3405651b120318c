"""Checkpoints: weights in safetensors, everything else in tensors and plain values; written whole or not at all.

A step is two files: `state_N.pt` (what resuming needs besides), then `step_N.safetensors` (what inference needs), with whose
renaming the step counts. The latter holds digests of its own tensors and of the former, so that damage, or files of two
different lives side by side, are found out rather than trained on.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor

from ..files import make_folder, write_atomically
from ..reading import open_regular
from ..tensor_files import SIZE_LIMIT, read_state, read_tensors
from ..types import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Checkpoint:
    """All that a run goes on from."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(run: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], keep: int = 2) -> None:
    """Writes both files of a step, then removes all but the newest `keep` steps up to it.

    Raises:
        InputError: the place cannot be written to; the checkpoints before are then as they were.
    """
    make_folder(run / "checkpoints")
    data = packed(state)
    write_atomically(_state_file(run, step), lambda path: path.write_bytes(data))
    write_weights(run, step, tensors, {"state": hashlib.blake2b(data, digest_size=16).hexdigest()})
    _remove_older(run, step, keep)


def packed(state: Mapping[str, Any]) -> memoryview:
    """What `read_state` reads. To be written by Python: torch and safetensors tell a full disk in errors of their own."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getbuffer()


def write_weights(run: Path, step: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Path:
    """The weights alone, into `checkpoints/` of `run`, which must be there; any precision. Returns the file."""
    flat = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data = save(flat, {"tensors": _digest(flat), **(metadata or {})})
    path = _weights_file(run, step)
    write_atomically(path, lambda place: place.write_bytes(data))
    return path


def _remove_older(run: Path, step: int, keep: int) -> None:
    """Steps beyond this one are left: they could not be read when the run was taken up, and will be written again."""
    steps = [saved for saved in saved_steps(run) if saved <= step]
    for path in sorted((run / "checkpoints").glob("st*"), reverse=True):  # weights first: then the step counts no more
        match = re.fullmatch(r"(?:step_(\d+)\.safetensors|state_(\d+)\.pt)", path.name)
        if match and int(match[1] or match[2]) < min(steps[-keep:]):
            path.unlink(missing_ok=True)


def saved_steps(run: Path) -> list[int]:
    """The steps of a run's complete checkpoints, oldest first."""
    found = (re.fullmatch(r"step_(\d+)\.safetensors", path.name) for path in (run / "checkpoints").glob("step_*"))
    return sorted(int(match[1]) for match in found if match)


def load_checkpoint(run: Path, on_problem: Callable[[str], None] = print) -> tuple[int, dict[str, Tensor]]:
    """(step, tensors in float32) of the newest valid checkpoint; `on_problem` is told of invalid ones, one line each.

    Raises:
        InputError: there is none that can be read.
    """
    return _newest_valid(run, lambda step: _read_weights(run, step)[0], on_problem)


def load_for_resuming(run: Path, on_problem: Callable[[str], None] = print) -> Checkpoint:
    """The newest checkpoint both of whose files are what was written, as `load_checkpoint` finds it."""

    def read(step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, metadata = _read_weights(run, step)
        return tensors, load_state(run, step, metadata.get("state", ""))

    step, (tensors, state) = _newest_valid(run, read, on_problem)
    return Checkpoint(step, tensors, state)


def _newest_valid(run: Path, read: Callable[[int], T], on_problem: Callable[[str], None]) -> tuple[int, T]:
    steps = saved_steps(run)
    if not steps:
        raise InputError(f"{run}: no checkpoint there: give the --out folder of a tools/fit_scenes.py run")
    for step in reversed(steps):
        try:
            return step, read(step)
        except InputError as error:
            if step == steps[0]:
                raise InputError(f"{error}; no older checkpoint is left in {run}") from None
            on_problem(f"skipped the checkpoint of step {step}: {error}")
    raise AssertionError  # the oldest returns or raises


def _read_weights(run: Path, step: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    path = _weights_file(run, step)
    tensors, metadata = read_tensors(path)
    if metadata.get("tensors") not in (None, _digest(tensors)):
        raise InputError(f"{path}: damaged: its tensors are not those that were written")
    return tensors, metadata


def load_state(run: Path, step: int, digest: str | None = None) -> dict[str, Any]:
    """The training state beside a checkpoint; only tensors and plain values are ever unpickled.

    Raises:
        InputError: it cannot be read, or is not the one with this digest.
    """
    path = _state_file(run, step)
    if digest is not None:
        total = hashlib.blake2b(digest_size=16)
        with open_regular(path, SIZE_LIMIT) as file:
            while block := file.read(1 << 20):
                total.update(block)
        if total.hexdigest() != digest:
            raise InputError(f"{path}: damaged, or of another run than the weights beside it")
    return read_state(path)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Of names, shapes and values, the latter as float32: as every reader gets them."""
    total = hashlib.blake2b(digest_size=16)
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {list(value.shape)}\n".encode())
        total.update(value.to(torch.float32).flatten().numpy().data)
    return total.hexdigest()


def generator_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a checkpoint's tensors, the generator's own, by their names in its `state_dict`."""
    prefix = "generator."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _weights_file(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step_{step:08d}.safetensors"


def _state_file(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"state_{step:08d}.pt"
