"""peer_speed: what a training step and a picture take by Trans-INR's own code and by ours, at equal dimensions."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from hypernerf.cli.benchmark_run import CPU, REFERENCE, first_unseen
from hypernerf.cli.common import Parser, console, parse_config, write_json
from hypernerf.cli.fit import load_training
from hypernerf.cli.machine import machine
from hypernerf.cli.session import load_run
from hypernerf.cli.timing import medians
from hypernerf.config import apply_overrides, from_dict, load_yaml, to_dict
from hypernerf.fields import SceneField
from hypernerf.memory import keep_freed_memory
from hypernerf.rendering import RenderSettings
from hypernerf.training import Experiment, StoredScene, Trainer
from hypernerf.training.batches import sample_batch
from hypernerf.types import InputError
from scenes.procedural import ProceduralConfig
from scenes.source import SourceConfig

from . import trans_inr
from .common import require_white
from .drawing import THEIRS, THEIRS_OUR_FIELD, pictures
from .equal import EqualTransInr, Sizes, our_encoder_parameters, our_rivals, parameters
from .repository import checked_out_commit

EXAMPLE = """  python tools/peer_speed.py --repo clones/trans-inr --run runs/quickstart --json speed.json"""


@dataclass(frozen=True)
class Row:
    """`ratio`: how many times as fast as Trans-INR's code; `same_field`: as its renderer on our field."""

    what: str
    code: str
    milliseconds: float
    ratio: float
    same_field: float | None = None
    psnr: float | None = None  # against dense sampling of the same field
    encoder_parameters: int | None = None
    all_parameters: int | None = None


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        "Time a training step (rays, losses, gradients, optimizer) and, with --run, a picture by Trans-INR's own code and by "
        "ours, on the CPU, rivals taking turns. Our step is timed with an encoder of as many parameters, one of the same "
        "width and layers, and the configuration's own model. Its renderer draws its field and ours. --equal.key VALUE sets a "
        "dimension of both, --section.key VALUE a key of the configuration.",
        EXAMPLE,
    )
    parser.add_argument("--repo", type=Path, metavar="DIR", help="clone of Trans-INR's repository")
    parser.add_argument("--config", default="configs/quickstart.yaml", help="whose model is timed too (default %(default)s)")
    parser.add_argument("--run", metavar="RUN", help="a trained run: also time a picture of its first unseen scene")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 3], metavar="N", help="context views of a step (default 1 3)")
    parser.add_argument("--repeats", type=int, default=9, help="of each measurement; the median counts (default %(default)s)")
    parser.add_json()
    options, overrides = parser.parse_known_args(arguments)
    if options.repeats < 1 or min(options.views) < 1:
        raise InputError("--repeats and --views must be at least 1")
    keep_freed_memory()
    values = apply_overrides(load_yaml(options.config), ["--train.device", "cpu", *overrides])
    sizes = from_dict(Sizes, values.pop("equal", {}), "equal")
    source, experiment = parse_config(values, options.config)
    run = load_run(options.run) if options.run else None
    repository = trans_inr.REPOSITORY.open(options.repo)
    scenes = _scenes(source, sizes.scenes)
    peer = EqualTransInr(sizes, scenes, experiment, repository)
    rows = [row for views in options.views for row in step_rows(peer, scenes, experiment, views, options.repeats)]
    if run is not None:
        rows += picture_rows(peer, first_unseen(run), run.experiment.render, options.repeats)
    facts = {"machine": machine(CPU), "commit": checked_out_commit(repository), "sizes": to_dict(sizes)}
    _show(rows, facts)
    write_json(options.json, {**facts, "rows": [asdict(row) for row in rows]})
    return 0


def _scenes(source: SourceConfig, count: int) -> list[StoredScene]:
    """As many training scenes, with cameras in the scene sphere."""
    if isinstance(source, ProceduralConfig):  # as many as are asked for: no more are needed
        source = dataclasses.replace(source, train_scenes=count)
    scenes, _ = load_training(source)
    if len(scenes) < count:
        raise InputError(f"equal.scenes: a step of {count} scenes needs as many, the source has {len(scenes)}")
    require_white(scenes[:count])
    return scenes[:count]


def step_rows(
    peer: EqualTransInr, scenes: list[StoredScene], experiment: Experiment, views: int, repeats: int
) -> list[Row]:  # fmt: skip
    """Its `NvsTrainer.train_step` on a batch that lies ready; ours with the drawing of the batch."""
    peer.model.train()
    data = peer.data(scenes, views, np.random.default_rng(0))
    works: dict[str, Callable[[], object]] = {"Trans-INR": partial(peer.train_step, data)}
    sizes = {"Trans-INR": (peer.encoder_parameters, parameters(peer.model))}
    with tempfile.TemporaryDirectory() as folder:
        for name, ours in our_rivals(peer.sizes, experiment, views, peer.encoder_parameters).items():
            trainer = Trainer(ours, scenes, Path(folder))
            works[name] = partial(_step, trainer)
            sizes[name] = our_encoder_parameters(trainer.model), parameters(trainer.model)
        seconds = medians(works, CPU, repeats)
    what = f"training step, {views} view{'s' * (views > 1)}"
    return [
        Row(
            what,
            name,
            1e3 * taken,
            seconds["Trans-INR"] / taken,
            encoder_parameters=sizes[name][0],
            all_parameters=sizes[name][1],
        )
        for name, taken in seconds.items()
    ]


def _step(trainer: Trainer) -> None:
    batch = sample_batch(trainer.scenes, trainer.config.batch, trainer.config.seed, trainer.step)  # type: ignore[arg-type]
    trainer.train_step(batch)


def picture_rows(peer: EqualTransInr, field: SceneField, settings: RenderSettings, repeats: int) -> list[Row]:
    """Ratios against its renderer on its own field, and on ours."""
    drawn = pictures(peer, peer.sizes, field, settings, repeats)
    own, same = drawn[THEIRS].seconds, drawn[THEIRS_OUR_FIELD].seconds
    what = f"view {peer.sizes.view} x {peer.sizes.view}"
    return [
        Row(what, name, 1e3 * picture.seconds, own / picture.seconds, same / picture.seconds, picture.psnr)
        for name, picture in drawn.items()
    ]


def _show(rows: Sequence[Row], facts: dict[str, Any]) -> None:
    table = Table("what", "code", "ms", "x", "x, same field", "PSNR", "encoder", title=facts["machine"])
    for row in rows:
        cells = [f"{row.milliseconds:.2f}", f"{row.ratio:.2f}", "" if row.same_field is None else f"{row.same_field:.2f}"]
        cells += ["" if row.psnr is None else f"{row.psnr:.1f}"]
        cells += ["" if row.encoder_parameters is None else f"{row.encoder_parameters / 1e6:.2f} M"]
        table.add_row(row.what, row.code, *cells)
    console.print(table, width=130)
    console.print(
        f"sizes: {facts['sizes']}; encoder: parameters between images and latent; PSNR: against {REFERENCE} samples a ray"
    )
