"""What is known of each row when it is done: one record, all of them in one JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypernerf.cli.common import write_json
from hypernerf.config import from_dict, load_yaml, to_dict
from hypernerf.training import Scores
from hypernerf.types import InputError

from .plan import OURS, Budget, Row, method_of
from .work import Settings, read_mark, tasks_of

RECORD = "record.json"


@dataclass(frozen=True)
class Scored:
    """Scores on some scenes by number of context views, and how well meshes agree: on a grid, or with true masks."""

    scenes: int
    context_views: dict[str, Scores]
    mesh_views: int | None = None  # context views of
    mesh_iou: float | None = None
    mesh_kind: str | None = None  # volume or masks


@dataclass(frozen=True)
class Record:
    row: Row
    budget: Budget
    machine: str
    date: str
    commit: str  # of this project, when training ended
    steps: tuple[int, ...]  # of each model that was trained
    minutes: tuple[float, ...]  # of training, likewise
    learning_rate: float
    test: Scored
    peer_commit: str | None = None
    mean_field: Scores | None = None
    nearest_view: Scores | None = None
    held_out: Scored | None = None
    adapted: Scored | None = None  # by `adapt_steps` at most
    unadapted: Scored | None = None  # the same scenes in one forward pass
    adapt_steps: int = 0


def gather(row: Row, budget: Budget, settings: Settings) -> Record:
    """Of a row whose tasks are all done; also written beside its run."""
    folder, tasks = settings.folder(row, budget), tasks_of(row, budget, settings)
    metrics, mark = _read(folder / "metrics.json"), read_mark(tasks[0])
    record = Record(
        row=row,
        budget=budget,
        machine=mark.machine,
        date=mark.date,
        commit=mark.commit,
        test=_scored(metrics),
        **(_of_ours(folder, metrics) if row.method == OURS else _of_a_peer(row, metrics)),
    )
    write_json(folder / RECORD, to_dict(record))
    return record


def _of_ours(folder: Path, metrics: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "steps": (metrics["training"]["step"],),
        "minutes": (round(metrics["training"]["minutes"], 2),),
        "learning_rate": load_yaml(folder / "config.yaml")["train"]["learning_rate"],
        "mean_field": Scores(**metrics["baselines"]["mean_field"]),
        "nearest_view": Scores(**metrics["baselines"]["nearest_view"]),
    }
    if (folder / "held_out.done").is_file():
        facts["held_out"] = _scored(_read(folder / "held_out.json"))
    adapted = [int(path.stem.removeprefix("adapted_")) for path in folder.glob("adapted_*.done")]
    if adapted:  # whatever this command asks for: what was once measured is kept
        facts["adapt_steps"] = max(adapted)
        metrics = _read(folder / f"adapted_{max(adapted)}.json")
        facts["unadapted"] = _scored(metrics)
        facts["adapted"] = Scored(metrics["scenes"], _scores(metrics["adapted"]["context_views"]))
    return facts


def _of_a_peer(row: Row, metrics: dict[str, Any]) -> dict[str, Any]:
    models = list(metrics["models"].values())
    also = metrics.get("also")
    return {
        "steps": tuple(model["steps"] for model in models),
        "minutes": tuple(model["minutes"] for model in models),
        "learning_rate": method_of(row.method).learning_rate,
        "peer_commit": metrics["commit"],
        "held_out": None if also is None else _scored(also),
    }


def _scores(values: dict[str, Any]) -> dict[str, Scores]:
    return {count: Scores(**scores) for count, scores in values.items()}


def _scored(metrics: dict[str, Any]) -> Scored:
    scores = _scores(metrics["context_views"])
    for key, name, kind in (("shape", "iou", "volume"), ("mesh", "mask_iou", "masks")):
        if key in metrics:
            return Scored(metrics["scenes"], scores, metrics[key]["context_views"], metrics[key][name], kind)
    return Scored(metrics["scenes"], scores)


def known_records(out: Path) -> list[Record]:
    """Of all rows that were ever finished in `out`, by their places."""
    return [from_dict(Record, _read(path)) for path in sorted(out.glob(f"*/*/*/{RECORD}"))]


def write_records(path: Path, records: Sequence[Record]) -> None:
    write_json(path, {"rows": [to_dict(record) for record in records]})


def read_records(path: Path) -> list[Record]:
    """What `write_records` wrote. Raises `InputError` when it is something else."""
    try:
        return [from_dict(Record, values) for values in json.loads(path.read_text())["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no figures of tools/quality.py ({error}): remove it, or name another") from None


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
