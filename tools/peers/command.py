"""compare_peers: train a published method on our scenes for as long as ours, and score it by the same code."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hypernerf.cli.common import Parser, check_writable, console, parse_config, write_json
from hypernerf.cli.finish import print_table
from hypernerf.config import apply_overrides, from_dict, load_yaml, to_dict
from hypernerf.memory import keep_freed_memory
from hypernerf.training import Experiment, StoredScene, check_views
from hypernerf.training.metrics import lpips_metric
from hypernerf.types import InputError
from scenes.source import SourceConfig, Split

from . import ginr_ipc, pixel_nerf, scratch, trans_inr
from .common import Kind, Material, Peer, load_material
from .loop import STATE, Clock, Plan, train
from .repository import checked_out_commit
from .scoring import scores_of, watch

PEERS: dict[str, Kind] = {
    "trans-inr": trans_inr.KIND,
    "ginr-ipc": ginr_ipc.KIND,
    "pixel-nerf": pixel_nerf.KIND,
    "scratch": scratch.KIND,
}
METRICS = "metrics.json"
EXAMPLE = """  python tools/compare_peers.py trans-inr configs/quickstart.yaml --repo trans-inr --out runs/trans_inr --minutes 10
  python tools/compare_peers.py scratch configs/quickstart.yaml --out runs/scratch --minutes 10 --learning-rate 2e-3"""


@dataclass(frozen=True)
class _Options:
    """The command line, read and checked."""

    name: str
    kind: Kind
    settings: Any
    source: SourceConfig
    experiment: Experiment
    minutes: float | None
    steps: int | None
    counts: list[int]
    split: Split
    also: str | None
    repository: Path | None
    out: Path
    resume: bool


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    keep_freed_memory()  # as tools/fit_scenes.py does
    torch.set_num_threads(options.experiment.train.threads or 2)
    repository = None if options.kind.repository is None else options.kind.repository.open(options.repository)
    groups = [options.counts] if options.kind.any_count else [[count] for count in options.counts]
    folders = [options.out if options.kind.any_count else options.out / f"views_{counts[0]}" for counts in groups]
    for folder in folders:
        if (folder / STATE).exists() and not options.resume:
            raise InputError(f"{folder}: already holds a run: give --resume to go on with it, or another --out")
        check_writable(folder, "--out")
    material = load_material(options.source, options.experiment, options.kind, options.split, repository, options.also)
    config, scenes = material.experiment.evaluate, [*material.scored, *material.also, *material.watched, *material.train]
    check_views(scenes, config, sorted({*config.context_views, *options.counts}))
    facts = {
        "peer": options.name,
        "commit": None if repository is None else checked_out_commit(repository),
        "settings": to_dict(options.settings),
        "source": to_dict(options.source),
        "evaluate": to_dict(options.experiment.evaluate),
        "split": options.split,
        "scenes": len(material.scored),
        "also_root": options.also,
    }
    metrics = _known(options.out / METRICS, facts, len(material.also))
    for counts, folder in zip(groups, folders, strict=True):
        peer = options.kind.build(options.settings, material, counts)
        clock, done = train(peer, _plan(options, folder, counts), partial(watch, peer, material, counts))
        if not done:
            console.print(f"interrupted: --resume goes on from step {clock.step} in {folder}")
            return 130
        _score(options, peer, material, counts, _training(options, peer, material, clock), metrics)
    print_table(metrics)
    return 0


def _parser() -> Parser:
    parser = Parser(
        "Train a peer on the scenes of a configuration, against the clock, and score it on the unseen scenes, context views and "
        "target views that our own runs are scored on. trans-inr, ginr-ipc and pixel-nerf run from a clone of their own "
        "repositories; scratch fits our field to the context views of each scored scene alone. A peer that cannot read several "
        "numbers of context views with one model is trained for each of them, for --minutes each. The peer's own settings are "
        "given as --peer.key VALUE, those of the configuration as --section.key VALUE.",
        EXAMPLE,
    )
    parser.add_argument("peer", metavar="PEER", choices=PEERS, help=", ".join(PEERS))
    parser.add_argument("config", metavar="CONFIG", help="a YAML file of ours: its source and evaluate sections are used")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="clone of the peer's repository")
    parser.add_argument("--out", type=Path, metavar="RUN", required=True, help="folder for its state and metrics.json")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, metavar="M", help="training time of a model (default: the configuration's)")
    length.add_argument(
        "--steps", type=int, metavar="N",
        help="train for N steps instead: as many as --minutes allowed, known from a short run that had the machine to itself, "
        "are the same budget on a machine that does other work beside",
    )  # fmt: skip
    parser.add_argument("--learning-rate", type=float, metavar="X", help="instead of the peer's default")
    parser.add_argument(
        "--context-views", type=int, nargs="+", metavar="N", help="numbers of views (default: the configuration's)"
    )
    parser.add_argument("--split", choices=("val", "test"), default="test", help="what is scored (default: test)")
    parser.add_argument("--also", metavar="ROOT", help="also score the test split of this source.root, as of a held-out pack")
    parser.add_argument("--resume", action="store_true", help="go on from RUN's state, if it has one")
    return parser


def _parse(arguments: Sequence[str]) -> _Options:
    options, overrides = _parser().parse_known_args(arguments)
    values = apply_overrides(load_yaml(options.config), overrides)
    kind = PEERS[options.peer]
    settings: Any = from_dict(kind.settings, values.pop("peer", {}), "peer")
    if options.learning_rate is not None:
        settings = replace(settings, learning_rate=options.learning_rate)
    if not settings.learning_rate > 0:
        raise InputError(f"--learning-rate must be positive, not {settings.learning_rate}")
    source, experiment = parse_config(values, options.config)
    minutes = None if options.steps is not None else experiment.train.minutes if options.minutes is None else options.minutes
    if options.steps is None and (minutes is None or not minutes > 0):
        raise InputError("--minutes must be positive, and given where the configuration has no train.minutes")
    if options.steps is not None and options.steps < 1:
        raise InputError(f"--steps must be at least 1, not {options.steps}")
    if options.also is not None and kind.fits_scored:
        raise InputError("--also: this peer is trained on the very scenes that it is scored on: give them as --source.root")
    counts = sorted(set(options.context_views or experiment.evaluate.context_views))
    if counts[0] < 1:
        raise InputError(f"--context-views must be at least 1, not {counts[0]}")
    return _Options(
        options.peer,
        kind,
        settings,
        source,
        experiment,
        minutes,
        options.steps,
        counts,
        options.split,
        options.also,
        options.repo,
        options.out,
        options.resume,
    )


def _plan(options: _Options, folder: Path, counts: Sequence[int]) -> Plan:
    config = options.experiment.train
    identity = {"peer": options.name, "counts": list(counts), "seed": config.seed, **to_dict(options.settings)}
    identity["source"] = to_dict(options.source)
    if options.kind.fits_scored:
        identity |= {"split": options.split, "field": to_dict(options.experiment.field)}
    return Plan(folder, options.minutes, options.steps, config.validations, config.seed, identity)


def _score(
    options: _Options, peer: Peer, material: Material, counts: Sequence[int], training: dict[str, float], metrics: dict[str, Any]
) -> None:
    """Adds each number of context views to `metrics` and writes them; those that this very model has are not scored again."""
    lpips, missing = lpips_metric()
    metrics["lpips_missing"] = missing or None
    name = " ".join(map(str, counts))
    parts: list[tuple[dict[str, Any], Sequence[StoredScene], str]] = [(metrics, material.scored, "context_views")]
    if material.also:
        parts.append((metrics["also"], material.also, "also_context_views"))
    if metrics["models"].get(name) != training:
        metrics["models"][name] = training
        for result, _, _ in parts:
            for count in counts:
                result["context_views"].pop(str(count), None)
    for result, scenes, what in parts:
        for count in counts:
            if str(count) in result["context_views"]:
                continue
            start = time.perf_counter()
            scores = scores_of(peer, scenes, material.experiment.evaluate, counts, count, lpips)
            result["context_views"][str(count)] = asdict(scores)
            metrics["seconds"][f"{what}_{count}"] = round(time.perf_counter() - start, 2)
            write_json(options.out / METRICS, metrics)


def _training(options: _Options, peer: Peer, material: Material, clock: Clock) -> dict[str, float]:
    """How a model was trained."""
    facts = {
        "steps": clock.step,
        "minutes": round(clock.minutes, 3),
        "ms_per_step": round(60e3 * clock.minutes / clock.step, 1),
        "parameters": sum(p.numel() for p in peer.model.parameters()),
    }
    if options.kind.fits_scored:
        facts["seconds_per_scene"] = round(60 * clock.minutes / len(material.scored), 2)
    return facts


def _known(path: Path, facts: dict[str, Any], also: int) -> dict[str, Any]:
    """Metrics to add to: those that an earlier command with the same `facts` left for other numbers of views, if any."""
    fresh = {**facts, "context_views": {}, "baselines": {}, "models": {}, "seconds": {}}
    if also:
        fresh["also"] = {"scenes": also, "context_views": {}}
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return fresh
    return known if all(known.get(name) == value for name, value in facts.items()) else fresh
