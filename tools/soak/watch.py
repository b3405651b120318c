"""Starts the training that is watched, hears what it says, and looks at its memory meanwhile."""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypernerf.types import InputError

from .child import Block, Ended
from .reference import Cost

CHILD = (sys.executable, "-m", "soak.child")
TOOLS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Sample:
    at: float  # of time.monotonic
    bytes: int  # resident


@dataclass
class Record:
    """What was seen of one training. `code` is its exit code; `ended` is None if it did not come to its end."""

    blocks: list[Block] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    ended: Ended | None = None
    code: int = 0


def watch(arguments: Sequence[str], seconds: float, on_time: Callable[[float], None], command: Sequence[str] = CHILD) -> Record:
    """Trains in a process of its own until it ends; `seconds` is about how long that is.

    Args:
        arguments: of fit_scenes.
        on_time: told now and then how many seconds have passed.
        command: starts the process; gets a descriptor, an interval and `arguments`, and does as `soak.child` does.

    Raises:
        InputError: the system does not tell the memory of processes.
    """
    if not Path("/proc/self/statm").exists():
        raise InputError("/proc: not there: the memory of a process is read from it, as Linux has it")
    interval, pause = min(5.0, max(0.1, seconds / 300)), min(1.0, max(0.02, seconds / 2000))
    reading, writing = os.pipe()
    paths = os.pathsep.join([str(TOOLS), str(TOOLS.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*command, str(writing), str(interval), *arguments], pass_fds=[writing], env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    record, rest, begun = Record(), b"", time.monotonic()
    try:
        while True:
            ready, _, _ = select.select([reading], [], [], pause)
            if record.ended is None and (size := resident_bytes(process.pid)):
                record.samples.append(Sample(time.monotonic(), size))
            on_time(time.monotonic() - begun)
            if ready:
                said = os.read(reading, 1 << 16)
                if not said:
                    break
                *lines, rest = (rest + said).split(b"\n")
                for line in lines:
                    _note(record, json.loads(line))
        record.code = process.wait()
    finally:
        os.close(reading)
        if process.poll() is None:
            process.terminate()
            process.wait()
    return record


def _note(record: Record, said: dict) -> None:
    if "Ended" in said:
        record.ended = Ended(**said["Ended"])
    else:
        values = said["Block"]
        record.blocks.append(Block(**{**values, "step": Cost(**values["step"]), "reference": Cost(**values["reference"])}))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and of all that it started, pages that they share counted in each; 0 when it is gone."""
    total, waiting = 0, [pid]
    while waiting:
        place = Path("/proc") / str(waiting.pop())
        try:
            total += int((place / "statm").read_text().split()[1]) * resource.getpagesize()
            for task in (place / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, IndexError):  # it ended meanwhile
            continue
    return total
