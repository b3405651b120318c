"""The commands that a row consists of. Each is done once; one that was interrupted is taken up where it stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hypernerf.cli.common import write_json
from hypernerf.cli.machine import machine
from hypernerf.config import load_yaml
from hypernerf.files import make_folder

from .plan import OURS, Budget, Row, method_of

TOOLS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Task:
    """One command. When it has ended well, `folder/NAME.done` says so, and at which commit."""

    name: str
    folder: Path
    command: tuple[str, ...]

    @property
    def mark(self) -> Path:
        return self.folder / f"{self.name}.done"

    @property
    def done(self) -> bool:
        return self.mark.is_file()


@dataclass(frozen=True)
class Mark:
    """What a finished command leaves."""

    commit: str
    date: str
    machine: str


@dataclass(frozen=True)
class Settings:
    """What all rows share. `clones` holds the published methods' repositories by the methods' names."""

    out: Path
    configs: Path
    clones: Path | None = None
    adapt: int = 0  # steps
    adapt_scenes: int = 16
    threads: int | None = None  # of each training
    adapt_views: int = 3

    def folder(self, row: Row, budget: Budget) -> Path:
        return self.out / budget.name / row.dataset / f"{row.method}_{row.seed}"

    def config(self, row: Row) -> Path:
        return self.configs / f"{row.dataset}.yaml"


def held_out_root(config: Path) -> str | None:
    """Where the pack is that was held out whole, as tools/render_scenes.py --hold-out leaves it; None if there is none."""
    source = load_yaml(config).get("source", {})
    root = f"{source.get('root')}-held-out"
    return root if source.get("name") == "srn" and Path(f"{root}_test").is_dir() else None


def tasks_of(row: Row, budget: Budget, settings: Settings) -> list[Task]:
    """In the order in which they are to be done."""
    folder = settings.folder(row, budget)
    if row.method == OURS:
        return _our_tasks(row, budget, settings, folder)
    method, config = method_of(row.method), settings.config(row)
    arguments = [row.method, config, "--out", folder, "--resume", "--train.seed", row.seed]
    arguments += ["--minutes", budget.minutes] if budget.steps is None else ["--steps", budget.steps]
    arguments += _threads(settings)
    if method.learning_rate is not None:
        arguments += ["--learning-rate", method.learning_rate]
    if method.counts is not None:
        arguments += ["--context-views", *method.counts]
    if method.needs_clone and settings.clones is not None:
        arguments += ["--repo", settings.clones / row.method]
    held_out = held_out_root(config)
    if held_out is not None and method.needs_clone:
        arguments += ["--also", held_out]
    return [_task("train", folder, "compare_peers", arguments)]


def _our_tasks(row: Row, budget: Budget, settings: Settings, folder: Path) -> list[Task]:
    config = settings.config(row)
    length: list[object] = ["--train.minutes", budget.minutes] if budget.steps is None else ["--train.minutes", "null"]
    if budget.steps is not None:
        length += ["--train.steps", budget.steps]
    length += _threads(settings)
    tasks = [_task("train", folder, "fit_scenes", [config, "--out", folder, "--resume", "--train.seed", row.seed, *length])]
    held_out = held_out_root(config)
    if held_out is not None:
        file = folder / "held_out.json"
        tasks.append(_task("held_out", folder, "evaluate", [folder, "--source.root", held_out, "--json", file]))
    if settings.adapt:
        counts = load_yaml(config)["evaluate"]["context_views"]
        name = f"adapted_{settings.adapt}"
        arguments = [folder, "--context-views", *counts, "--adapt", settings.adapt, "--adapt-views", settings.adapt_views]
        arguments += ["--first", settings.adapt_scenes, "--json", folder / f"{name}.json"]
        tasks.append(_task(name, folder, "evaluate", arguments))
    return tasks


def _threads(settings: Settings) -> list[object]:
    return [] if settings.threads is None else ["--train.threads", settings.threads]


def _task(name: str, folder: Path, tool: str, arguments: Sequence[object]) -> Task:
    return Task(name, folder, (sys.executable, str(TOOLS / f"{tool}.py"), *map(str, arguments)))


def perform(task: Task, commit: str, lock: int) -> int:
    """Runs a task; its exit code. An interrupt is handed on to it once, so that it can write a checkpoint.

    It is a process group of its own, so that Ctrl-C on a terminal reaches it through this alone. It keeps the open file
    `lock`: should this process be killed, no other starts a second job beside it.
    """
    make_folder(task.folder)
    process = subprocess.Popen(task.command, start_new_session=True, pass_fds=[lock])
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            process.terminate()
    if code == 0:
        here = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        write_json(task.mark, {"commit": commit, "date": time.strftime("%Y-%m-%d"), "machine": machine(here)})
    return code


def read_mark(task: Task) -> Mark:
    return Mark(**json.loads(task.mark.read_text()))
