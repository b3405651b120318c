"""What a run writes down as it goes: `metrics.jsonl`, and TensorBoard's files where asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..files import write_atomically
from ..types import InputError


def append_metrics(run: Path, entry: dict[str, Any]) -> None:
    """One more line of `metrics.jsonl`."""
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")


def read_metrics(run: Path, kind: str) -> list[dict[str, Any]]:
    """The entries of one kind, oldest first; of several of one step, the last counts."""
    return list({entry["step"]: entry for entry in _entries(run) if entry.get("kind") == kind}.values())


def keep_metrics_until(run: Path, step: int) -> None:
    """Forgets what was written down after `step`, by a run that is taken up again there."""
    kept = [json.dumps(entry) + "\n" for entry in _entries(run) if entry["step"] <= step]
    write_atomically(run / "metrics.jsonl", lambda path: path.write_text("".join(kept)))


def _entries(run: Path) -> list[dict[str, Any]]:
    """All, oldest first; a line cut off by a crash is left out."""
    path = run / "metrics.jsonl"
    if not path.exists():
        return []
    entries = []
    for line in path.read_text().splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return [entry for entry in entries if isinstance(entry, dict) and "step" in entry]


def open_tensorboard(run: Path) -> Any:
    """A TensorBoard writer in `run`. Raises `InputError` where the package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("train.tensorboard needs the tensorboard package: pip install 'hypernerf[log]'") from None
    return SummaryWriter(str(run / "tensorboard"))
