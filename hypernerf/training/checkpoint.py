"""Checkpoints: weights in safetensors, everything else in tensors and plain values; written whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..files import write_atomically
from ..tensor_files import read_state, read_tensors
from ..types import InputError


def save_checkpoint(run: Path, step: int, tensors: dict[str, torch.Tensor], state: dict, keep: int = 2) -> None:
    """Writes `checkpoints/step_N.safetensors` (what inference needs) and `state_N.pt` (what resuming needs besides).

    The weights are written last: a step counts as saved once they are there. Older steps than the last `keep` are removed.
    """
    folder = run / "checkpoints"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}): choose another --out") from None
    write_atomically(folder / f"state_{step:08d}.pt", lambda path: torch.save(state, path))
    write_weights(run, step, tensors)
    for old in saved_steps(run)[:-keep]:
        (folder / f"step_{old:08d}.safetensors").unlink(missing_ok=True)
        (folder / f"state_{old:08d}.pt").unlink(missing_ok=True)


def write_weights(run: Path, step: int, tensors: dict[str, torch.Tensor]) -> Path:
    """The weights alone, into `checkpoints/` of `run`, which must be there; any precision. Returns the file."""
    flat = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    path = run / "checkpoints" / f"step_{step:08d}.safetensors"
    write_atomically(path, lambda place: save_file(flat, place))
    return path


def saved_steps(run: Path) -> list[int]:
    """The steps of a run's complete checkpoints, oldest first."""
    found = (re.fullmatch(r"step_(\d+)\.safetensors", path.name) for path in (run / "checkpoints").glob("step_*"))
    return sorted(int(match[1]) for match in found if match)


def load_checkpoint(run: Path) -> tuple[int, dict[str, torch.Tensor]]:
    """(step, tensors in float32) of the newest checkpoint. Raises `InputError` when there is none or it cannot be read."""
    steps = saved_steps(run)
    if not steps:
        raise InputError(f"{run}: no checkpoint there: give the --out folder of a tools/fit_scenes.py run")
    path = run / "checkpoints" / f"step_{steps[-1]:08d}.safetensors"
    try:
        return steps[-1], read_tensors(path)[0]
    except InputError as error:
        raise InputError(f"{error}; remove it to fall back to the one before") from None


def generator_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of a checkpoint's tensors, the generator's own, by their names in its `state_dict`."""
    prefix = "generator."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def load_state(run: Path, step: int) -> dict:
    """The training state beside a checkpoint; only tensors and plain values are ever unpickled."""
    path = run / "checkpoints" / f"state_{step:08d}.pt"
    try:
        return read_state(path)
    except InputError as error:
        raise InputError(f"{error}: remove this step's two files to resume earlier") from None
