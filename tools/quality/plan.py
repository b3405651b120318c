"""What the benchmark consists of: rows of data set x method x seed, each trained for the same budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from hypernerf.types import InputError

OURS = "ours"


@dataclass(frozen=True)
class Method:
    """A way to reconstruct scenes. Learning rates are those that were best in a sweep: docs/benchmarks.md."""

    name: str
    learning_rate: float | None  # None: the configuration's own
    counts: tuple[int, ...] | None = None  # of context views; None: all of the configuration
    steps: int | None = None  # fixed, whatever the budget: more would overfit
    models: int = 1  # that are trained, each for the budget
    needs_clone: bool = True


METHODS = (
    Method(OURS, None, needs_clone=False),
    Method("trans-inr", 1e-3),
    Method("ginr-ipc", 1e-3, counts=(1, 3), models=2),  # a model for each number of views, as its recipe says
    Method("pixel-nerf", 6e-4, counts=(1, 3)),  # one model; drawing its images takes longer than its training
    Method("scratch", 5e-3, counts=(3,), steps=1300, needs_clone=False),
)
# data sets (configs/bench/NAME.yaml) in the order of their worth, and whether other methods are run on them too
DATASETS = {
    "chairs_64": True, "meshes_64": True, "categories_64": False, "cars_64": False, "lamps_64": False, "meshes_128": False,
    "chairs_128": False,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One training, or, where a method needs a model for each number of views, a few."""

    dataset: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.method}/{self.seed}"


@dataclass(frozen=True)
class Budget:
    """Of each model's training: minutes, or as many steps as those minutes allow on a machine that does nothing else.

    Without minutes it is a method's own number of steps, the same beside any budget.
    """

    minutes: float | None
    steps: int | None = None

    @property
    def name(self) -> str:
        parts = (self.minutes is not None and f"{self.minutes:g}min", self.steps is not None and f"{self.steps}steps")
        return "_".join(part for part in parts if part)


def method_of(name: str) -> Method:
    return next(method for method in METHODS if method.name == name)


def budget_of(method: Method, minutes: float, steps: Mapping[str, int]) -> Budget:
    """Of a row: `steps` names methods that are trained for a number of steps in place of `minutes`."""
    if method.steps is not None and method.name not in steps:
        return Budget(None, method.steps)
    return Budget(minutes, steps.get(method.name))


def planned(seeds: Sequence[int], only: Sequence[str] = ()) -> list[Row]:
    """All rows that match one of the patterns `only` (all, without any), the most telling ones first.

    Ours is run for all seeds, other methods for the first, and only where `DATASETS` says so, unless a pattern names them:
    a pattern is DATASET, DATASET/METHOD or DATASET/METHOD/SEED, with * and ? as in file names.

    Raises:
        InputError: a pattern that matches nothing.
    """
    full = [Row(dataset, method.name, seed) for dataset in DATASETS for method in METHODS for seed in seeds]
    usual = [row for row in full if row.method == OURS or (DATASETS[row.dataset] and row.seed == seeds[0])]
    if not only:
        return usual
    chosen: set[Row] = set()
    for pattern in only:
        parts = pattern.split("/")
        pool = usual if len(parts) == 1 else full if len(parts) == 3 else [r for r in full if r in usual or r.seed == seeds[0]]
        found = [row for row in pool if fnmatch(row.name, "/".join([*parts, *["*"] * (3 - len(parts))]))]
        if not found:
            raise InputError(
                f"--only {pattern}: no such row: data sets are {', '.join(DATASETS)}; methods "
                f"{', '.join(method.name for method in METHODS)}; seeds {', '.join(map(str, seeds))}"
            )
        chosen |= set(found)
    return [row for row in full if row in chosen]
