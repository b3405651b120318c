"""The training that is watched: fit_scenes as it is, which also says what its steps cost.

python -m soak.child DESCRIPTOR INTERVAL ARGUMENT…     (the arguments of fit_scenes; what is said goes to the open DESCRIPTOR)
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from hypernerf.cli import fit
from hypernerf.cli.common import run
from hypernerf.training import StepReport, Trainer

from .reference import Cost, Reference


@dataclass(frozen=True)
class Block:
    """Steps between two runs of the reference, whose mean cost is given with them. Validations and saving are left out."""

    begun: float  # of time.monotonic, which all processes share
    ended: float
    steps: int
    step: Cost  # of one, on average
    reference: Cost
    settled: bool  # begun after a validation and a checkpoint, which are the first to need their memory


@dataclass(frozen=True)
class Ended:
    steps: int
    validations: int
    checkpoints: int


class Meter:
    """Adds up what steps cost, and every `interval` seconds says a `Block`. The clock of the steps is the trainer's own."""

    def __init__(self, say: Callable[[Block | Ended], None], interval: float) -> None:
        self._say, self._interval = say, interval
        self._reference = Reference()
        self._before = self._reference()
        self._minutes, self._cpu_mark = 0.0, 0.0
        self.validations = self.checkpoints = 0
        self._begin()

    def start(self, trainer: Trainer) -> None:
        self._minutes, self._cpu_mark = trainer.minutes, time.process_time()
        self._begin()

    def _begin(self) -> None:
        self._begun, self._steps, self._wall, self._cpu = time.monotonic(), 0, 0.0, 0.0
        self._settled = self.validations > 0 and self.checkpoints > 0

    def note(self, report: StepReport) -> None:
        cpu, now = time.process_time(), time.monotonic()
        self._steps += 1
        self._wall += 60 * (report.minutes - self._minutes)
        self._cpu += cpu - self._cpu_mark
        self._minutes, self._cpu_mark = report.minutes, cpu
        if now - self._begun >= self._interval:
            with self.aside():
                after = self._reference()
                mean = Cost((self._before.wall + after.wall) / 2, (self._before.cpu + after.cpu) / 2)
                step = Cost(self._wall / self._steps, self._cpu / self._steps)
                self._say(Block(self._begun, now, self._steps, step, mean, self._settled))
            self._before = after
            self._begin()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work that is no part of a step."""
        start = time.process_time()
        yield
        self._cpu_mark += time.process_time() - start


def listen_in(say: Callable[[Block | Ended], None], interval: float) -> None:
    """Lets every training of this process say what its steps cost."""
    run_plain, save_plain, meter = Trainer.run, Trainer.save, Meter(say, interval)

    def run_watched(self: Trainer, on_step: Callable[[StepReport], None], on_validation: Callable[[Trainer], None]) -> bool:
        def step(report: StepReport) -> None:
            on_step(report)
            meter.note(report)

        def validation(trainer: Trainer) -> None:
            with meter.aside():
                on_validation(trainer)
            meter.validations += 1

        meter.start(self)
        finished = run_plain(self, step, validation)
        say(Ended(self.step, meter.validations, meter.checkpoints))
        return finished

    def save_watched(self: Trainer) -> None:
        with meter.aside():
            save_plain(self)
        meter.checkpoints += 1

    Trainer.run, Trainer.save = run_watched, save_watched  # type: ignore[method-assign]


def main(arguments: Sequence[str]) -> int:
    descriptor, interval, rest = int(arguments[0]), float(arguments[1]), arguments[2:]
    os.set_inheritable(descriptor, False)  # nobody else holds it open, so that its end is ours

    def say(event: Block | Ended) -> None:
        os.write(descriptor, (json.dumps({type(event).__name__: asdict(event)}) + "\n").encode())

    listen_in(say, interval)
    return fit.main(rest)


if __name__ == "__main__":
    run(lambda arguments: main(sys.argv[1:]))
