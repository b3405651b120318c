"""Whether a watched training stayed as it was: its memory flat, its steps no slower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

from .child import Block
from .watch import Record, Sample

WARM_UP = 0.1  # share of the time that is left out, and all until the first validation and checkpoint are over
WINDOWS, LEAST = 24, 8
MEMORY_LIMIT, TIME_LIMIT = 0.02, 0.05


@dataclass(frozen=True)
class Memory:
    """Of the windows' medians, in MB. `growth`: of the line through them (Theil-Sen), from end to end, as a share of the first.

    `spread`: how far the farthest is from their median, as a share of it.
    """

    megabytes: list[float]
    growth: float
    spread: float

    @property
    def flat(self) -> bool:
        return abs(self.growth) <= MEMORY_LIMIT and self.spread <= MEMORY_LIMIT


@dataclass(frozen=True)
class Pace:
    """Milliseconds a step in the first and the last quarter, medians over blocks; `change` is their ratio less 1.

    `relative_change` is the same of the blocks' ratios to the reference beside them: what the machine does to both is not in it.
    """

    first_ms: float
    last_ms: float
    change: float
    reference_change: float
    relative_change: float

    @property
    def steady(self) -> bool:
        """Steps that took longer by the clock but not beside the reference were on a busier machine; so the other way about."""
        return min(self.change, self.relative_change) <= TIME_LIMIT


@dataclass(frozen=True)
class Verdict:
    memory: Memory
    wall: Pace
    cpu: Pace
    flat: bool
    steady: bool

    @property
    def good(self) -> bool:
        return self.flat and self.steady


def judge(record: Record) -> Verdict | None:
    """None when there is too little to judge by: fewer than `LEAST` blocks, or windows that have a sample."""
    if len(record.blocks) < LEAST:
        return None
    start, end = record.blocks[0].begun, record.blocks[-1].ended
    start = max(start + WARM_UP * (end - start), next((block.begun for block in record.blocks if block.settled), start))
    megabytes = _windows([s for s in record.samples if start <= s.at <= end], start, end)
    blocks = [block for block in record.blocks if block.begun >= start]
    quarter = len(blocks) // 4
    if len(megabytes) < LEAST or not quarter:
        return None
    memory = flatness(megabytes)
    wall, cpu = (_pace(blocks[:quarter], blocks[-quarter:], kind) for kind in ("wall", "cpu"))
    return Verdict(memory, wall, cpu, memory.flat, wall.steady and cpu.steady)


def _windows(samples: Sequence[Sample], start: float, end: float) -> list[float]:
    """Median MB of each window that has a sample: a validation, which needs more for a while, is not in it."""
    place = [min(WINDOWS - 1, int(WINDOWS * (sample.at - start) / (end - start))) for sample in samples]
    parts: list[list[int]] = [[] for _ in range(WINDOWS)]
    for number, sample in zip(place, samples, strict=True):
        parts[number].append(sample.bytes)
    return [float(np.median(part)) / 1e6 for part in parts if part]


def flatness(megabytes: list[float]) -> Memory:
    """Of medians of windows that follow each other."""
    middle = float(np.median(megabytes))
    growth = float(theilslopes(megabytes)[0]) * (len(megabytes) - 1) / megabytes[0]
    spread = max(abs(value - middle) for value in megabytes) / middle
    return Memory([round(value, 2) for value in megabytes], growth, spread)


def _pace(first: Sequence[Block], last: Sequence[Block], kind: str) -> Pace:
    def median(blocks: Sequence[Block], value: Callable[[Block], float]) -> float:
        return float(np.median([value(block) for block in blocks]))

    def change(value: Callable[[Block], float]) -> float:
        return median(last, value) / median(first, value) - 1

    step = lambda block: getattr(block.step, kind)
    reference = lambda block: getattr(block.reference, kind)
    return Pace(
        1e3 * median(first, step), 1e3 * median(last, step), change(step), change(reference),
        change(lambda block: step(block) / reference(block)),
    )  # fmt: skip
