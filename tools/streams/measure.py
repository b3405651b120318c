"""A training on packed scenes, with a clock on what reads them and an eye on its memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hypernerf.cli.streamed import open_stream
from hypernerf.cli.taking_up import Settings
from hypernerf.training import StoredScene, Trainer
from hypernerf.training.batches import sample_batch
from soak.judge import WARM_UP, WINDOWS, Memory, flatness
from soak.watch import resident_bytes

FIRST_BATCH_LIMIT, LOADER_LIMIT = 5.0, 0.05  # seconds; share of a step


@dataclass(frozen=True)
class Figures:
    """Shares are of the time of all steps but the first, for which the window is filled."""

    scenes: int
    shards: int
    shards_held: int
    first_batch_seconds: float  # from opening the collection on
    first_batch_cpu_seconds: float
    steps: int
    step_ms: float
    shards_read: int
    waited: float  # share: the training stood still until a shard was there
    read: float  # share: CPU time of the thread that reads
    drawn: float  # share: making a batch of what is in memory, as training on scenes in memory does too
    memory: Memory

    @property
    def good(self) -> bool:
        quick = self.first_batch_seconds <= FIRST_BATCH_LIMIT
        return quick and self.waited + self.read <= LOADER_LIMIT and self.memory.flat


class _Clocks:
    """Seconds spent in calls, by name."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def on(self, name: str, work: Callable, clock: Callable[[], float] = time.perf_counter) -> Callable:
        def timed(*arguments):
            start = clock()
            result = work(*arguments)
            self.spent[name] = self.spent.get(name, 0.0) + clock() - start
            self.calls[name] = self.calls.get(name, 0) + 1
            return result

        return timed


def measure(settings: Settings, run: Path, steps: int, on_step: Callable[[int], None]) -> Figures:
    """Trains so many steps in `run`, without validations."""
    train = replace(settings.experiment.train, steps=steps, minutes=None, validations=1, checkpoint_every=steps)
    settings = replace(settings, experiment=replace(settings.experiment, train=train))
    clocks, start, cpu = _Clocks(), time.perf_counter(), time.process_time()
    stream, _ = open_stream(settings)
    stream.read = clocks.on("read", stream.read, time.thread_time)  # type: ignore[method-assign]
    stream.at = clocks.on("at", stream.at)  # type: ignore[method-assign]
    sample_batch(stream.at(0), train.batch, train.seed, 0)
    first, first_cpu = time.perf_counter() - start, time.process_time() - cpu
    trainer = Trainer(settings.experiment, stream, run)
    sizes, times = [], []

    def note(report) -> None:
        if report.step == 1:
            clocks.spent.update(dict.fromkeys(clocks.spent, 0.0))
        sizes.append(resident_bytes(os.getpid()) / 1e6)
        times.append(60 * report.minutes)
        on_step(report.step)

    try:
        trainer.run(note, lambda trainer: None)
    finally:
        stream.close()
    batch = clocks.on("batch", sample_batch)
    held: list[StoredScene] = stream.at(trainer.step - 1)
    for step in range(20):
        batch(held, train.batch, train.seed, step)
    total = times[-1] - times[0]
    kept = np.array_split(sizes[int(WARM_UP * len(sizes)) :], WINDOWS)
    drawing = clocks.spent["batch"] / clocks.calls["batch"] * (len(times) - 1)
    window = stream.window
    return Figures(
        len(stream), window.shards, window.length, first, first_cpu, trainer.step, 1e3 * total / (len(times) - 1),
        clocks.calls["read"], clocks.spent["at"] / total, clocks.spent["read"] / total, drawing / total,
        flatness([float(np.median(part)) for part in kept]),
    )  # fmt: skip
