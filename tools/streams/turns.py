"""Several trainings at once, each in a process of its own, of which one at a time takes some steps."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path

from hypernerf.cli.streamed import open_stream
from hypernerf.cli.taking_up import Settings
from hypernerf.memory import keep_freed_memory
from hypernerf.training import StepReport, Trainer
from hypernerf.types import InputError
from soak.watch import resident_bytes

ENDLESS = 1_000_000  # steps: the parent says when it is enough


@dataclass(frozen=True)
class Block:
    """What one turn took. `bytes`: resident after it."""

    seconds: list[float]  # of each step, waiting for shards included
    bytes: int


def take_turns(settings: Sequence[Settings], runs: Sequence[Path], steps: int, turns: Iterable[int]) -> list[list[Block]]:
    """The blocks of each training: in each turn every one takes `steps` steps, while the others wait.

    Args:
        runs: a folder for each, in which nothing of use is left.

    Raises:
        InputError: a training ended before it was told to.
    """
    context = multiprocessing.get_context("spawn")  # a forked process would begin with this one's memory
    lines, processes = [], []
    for one, run in zip(settings, runs, strict=True):
        mine, its = context.Pipe()
        processes.append(context.Process(target=_train, args=(its, one, run, steps), daemon=True))
        processes[-1].start()
        its.close()
        lines.append(mine)
    blocks: list[list[Block]] = [[] for _ in lines]
    try:
        for _ in turns:
            for line, taken, run in zip(lines, blocks, runs, strict=True):
                taken.append(_turn(line, run))
    finally:
        for line, process in zip(lines, processes, strict=True):
            process.kill()  # told to end, it would write a checkpoint
            process.join()
            line.close()
    return blocks


def _turn(line: Connection, run: Path) -> Block:
    try:
        line.send(True)
        answer = line.recv()
    except (EOFError, OSError):
        raise InputError(f"the training in {run.name} ended before it was done: see above") from None
    if isinstance(answer, str):
        raise InputError(answer)
    return answer


def _train(line: Connection, settings: Settings, run: Path, steps: int) -> None:
    """In a process of its own: `_take_steps`, or the one line that says why not."""
    try:
        _take_steps(line, settings, run, steps)
    except InputError as error:
        line.send(str(error))
        line.recv()


def _take_steps(line: Connection, settings: Settings, run: Path, steps: int) -> None:
    """Trains so many steps whenever `line` says so."""
    keep_freed_memory()
    run.mkdir(parents=True, exist_ok=True)
    train = replace(settings.experiment.train, steps=ENDLESS, minutes=None, validations=1, checkpoint_every=ENDLESS)
    settings = replace(settings, experiment=replace(settings.experiment, train=train))
    with redirect_stdout(StringIO()):
        stream, _ = open_stream(settings)
    trainer, seconds, before = Trainer(settings.experiment, stream, run), [], 0.0

    def note(report: StepReport) -> None:
        nonlocal before
        seconds.append(60 * (report.minutes - before))
        before = report.minutes
        if report.step % steps == 0:
            line.send(Block(list(seconds), resident_bytes(os.getpid())))
            seconds.clear()
            line.recv()

    line.recv()
    trainer.run(note, lambda trainer: None)
