"""A training that is killed and taken up again, many times, beside one that is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from hypernerf.cli.common import parse_config
from hypernerf.cli.fit import load_training
from hypernerf.config import load_yaml
from hypernerf.training import Trainer

from .life import Event, Life

PATIENCE = 120.0  # seconds in which a life must have saved, on the slowest machine
CONFIG = """
source: {{name: procedural, train_scenes: 4, val_scenes: 1, test_scenes: 1, views: 5, size: 16, cache: {cache}}}
encoder: {{image: {{image_size: 16, channels: [8, 16]}}, set: {{width: 16}}, lift: {{resolution: 4, channels: 4}}}}
hypernetwork: {{latent: 16, width: 16, rank: 2}}
field: {{width: 16, depth: 2, position_frequencies: 2, plane_resolution: 4, plane_channels: 2, volume_resolution: 4}}
train:
  {{steps: 100000, samples: 4, checkpoint_every: 5, validations: 5000, warmup: 0, device: cpu, threads: 1,
  batch: {{scenes: 2, rays: 8}}}}
evaluate: {{context_views: [1]}}
render: {{samples: 4, grid: 8}}
"""  # a step of 10 to 20 ms, a checkpoint every 5 steps, a validation every 20


@dataclass
class Ledger:
    """What must hold of all lives together. `digests` are of the states at steps that were saved, as first heard of."""

    complete: int = 0  # the newest step said to be saved
    lost_steps: int = 0
    corrupt_loads: int = 0
    invalid_checkpoints: int = 0
    resumed: int = 0
    failures: list[str] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)

    def note(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.kind == "resumed":
                self.resumed += 1
                self.lost_steps += max(0, self.complete - event.step)
                self.corrupt_loads += self.digests.setdefault(event.step, event.digest) != event.digest
            elif event.kind == "saved":  # steps done again must come out the same
                self.complete = event.step
                self.corrupt_loads += self.digests.setdefault(event.step, event.digest) != event.digest
            elif event.kind == "invalid":
                self.invalid_checkpoints += 1
            elif event.kind == "failed":
                self.failures.append(event.text)


@dataclass(frozen=True)
class Outcome:
    kills: int
    kills_amid_writes: int
    resumed: int
    lost_steps: int
    corrupt_loads: int
    invalid_checkpoints: int
    failures: list[str]
    last_step: int
    same_as_uninterrupted: bool
    checkpoints_compared: int

    @property
    def nothing_lost(self) -> bool:
        bad = (self.lost_steps, self.corrupt_loads, self.invalid_checkpoints, len(self.failures))
        return not any(bad) and self.same_as_uninterrupted


def run_campaign(folder: Path, kills: int, seed: int, on_kill: Callable[[int], None]) -> Outcome:
    """Kills a training in `folder` so many times, a third of them amid the writing of a checkpoint, the others anywhere."""
    config, executioner, ledger = folder / "config.yaml", Executioner(Random(seed)), Ledger()
    config.write_text(CONFIG.format(cache=folder / "cache"))
    _warm_up(config, folder / "warm")
    amid = 0
    for number in range(kills):
        life = Life(config, folder / "killed")
        events = executioner.kill_amid_write(life) if 3 * amid <= number else executioner.kill_anywhere(life)
        amid += bool(events) and events[-1].kind == "saving"  # its last word was that it begins to write
        ledger.note(events)
        on_kill(number + 1)
    same, compared = _beside_uninterrupted(config, folder / "alone", ledger)
    return Outcome(
        kills, amid, ledger.resumed, ledger.lost_steps, ledger.corrupt_loads, ledger.invalid_checkpoints, ledger.failures,
        ledger.complete, same, compared,
    )  # fmt: skip


def _warm_up(config: Path, folder: Path) -> None:
    """A few steps here, so that no life has to load and prepare again what is needed for the first of them."""
    source, experiment = parse_config(load_yaml(config), str(config))
    experiment = replace(experiment, train=replace(experiment.train, steps=2))
    Trainer(experiment, load_training(source)[0], folder).run(lambda report: None, lambda trainer: None)


class Executioner:
    """Chooses moments; how long lives take to begin and to write is learned from those before."""

    def __init__(self, random: Random) -> None:
        self.random, self.beginning, self.writing = random, 1.0, 0.02  # seconds

    def kill_amid_write(self, life: Life) -> list[Event]:
        """At a random moment of the life's first, second or third write, if that takes as long as the one before."""
        events, writes, begun = [], self.random.randint(1, 3), life.started
        for event in life.events(life.started + PATIENCE):
            events.append(event)
            if event.kind == "saved":
                self.writing = time.perf_counter() - begun
            if event.kind == "saving":
                begun, writes = time.perf_counter(), writes - 1
                self.beginning = begun - life.started if len(events) <= 2 else self.beginning
                if not writes:
                    break
        events += life.events(time.perf_counter() + self.random.uniform(0, self.writing))
        return events + life.kill()

    def kill_anywhere(self, life: Life) -> list[Event]:
        """From its first moment on, up to twice the time of a beginning."""
        events = list(life.events(life.started + self.random.uniform(0, 2 * self.beginning)))
        return events + life.kill()


def _beside_uninterrupted(config: Path, run: Path, ledger: Ledger) -> tuple[bool, int]:
    """(whether a training that nobody kills goes through the same states to the bit, at how many steps it was looked at)."""
    life, alone = Life(config, run), Ledger()
    for event in life.events(time.perf_counter() + PATIENCE + ledger.complete):
        alone.note([event])
        if alone.complete >= ledger.complete:
            break
    life.kill()
    both = alone.digests.keys() & ledger.digests.keys()
    return bool(both) and all(alone.digests[step] == ledger.digests[step] for step in both), len(both)
