"""fit_scenes: train a generator on many scenes, measure it on scenes it never saw, and write a report to look at."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import TextColumn

from scenes.source import SourceConfig, changed_reading

from ..config import apply_overrides, dump_yaml, load_yaml
from ..export import Row, comparison_sheet, save_image
from ..files import make_folder, remove_leftovers, write_atomically
from ..memory import keep_freed_memory, release_freed_memory
from ..training import (
    Experiment,
    StepReport,
    StoredScene,
    Trainer,
    check_views,
    evaluate_fields,
    normalized,
    reconstruct,
    shared_sphere,
    shared_up,
    target_views,
)
from ..training.checkpoint import load_for_resuming, saved_steps
from ..training.distributed import Alone, joined
from ..training.logs import append_metrics, keep_metrics_until, open_tensorboard
from ..training.streaming import SceneStream
from ..types import InputError
from .common import Parser, check_writable, console, open_source, parse_config, progress_bar, sphere_of, warn, write_json
from .continuing import continued, leave_memory
from .finish import finish_run
from .session import load_run, load_scenes
from .streamed import open_stream, streams
from .taking_up import Settings, facts_of, refuse_changes, taken_up

DRAWN = ("procedural", "meshes")
EXAMPLE = """  python tools/fit_scenes.py configs/quickstart.yaml --out runs/try --train.minutes 1
  python tools/fit_scenes.py configs/quickstart.yaml --out runs/try --train.minutes 1 --resume
  python tools/fit_scenes.py configs/quickstart.yaml --out runs/try --train.minutes 2 --resume --allow-change train.minutes
  torchrun --nproc-per-node 2 tools/fit_scenes.py configs/quickstart.yaml --out runs/two --train.minutes 1   # docs/scale.md
  python tools/fit_scenes.py configs/family/continual_cars.yaml --continue-from runs/continual_chairs"""


def main(arguments: Sequence[str]) -> int:
    keep_freed_memory()
    parser = Parser(
        "Train on many scenes; RUN then holds checkpoints, metrics.json and report.html. Any key of the configuration can be "
        "set by --section.key VALUE, for instance --train.minutes 30 --source.root DIR.",
        EXAMPLE,
    )
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; see configs/")
    parser.add_argument("--out", metavar="RUN", type=Path, help="run folder (default: runs/NAME of the configuration)")
    parser.add_argument("--resume", action="store_true", help="go on from RUN's newest checkpoint, if it has one")
    parser.add_argument(
        "--continue-from", type=Path, metavar="RUN",
        help="start with what another run has learned; train.continual.weight keeps what it and the runs before it wrote",
    )  # fmt: skip
    parser.add_argument(
        "--allow-change", nargs="+", default=[], metavar="KEY",
        help="with --resume: keys or sections, such as train.steps or source.root, that may differ from how RUN was started",
    )  # fmt: skip
    parser.add_json()
    with joined() as team:
        console.quiet = not team.writes
        with team.together():
            options, overrides = parser.parse_known_args(arguments)
            settings = Settings(*parse_config(apply_overrides(load_yaml(options.config), overrides), options.config))
            folder = options.out or Path("runs") / Path(options.config).stem
            if team.writes:
                _prepare(folder, options.resume)
        try:
            metrics = _fit(settings, folder, options, team)
        except KeyboardInterrupt:
            steps = saved_steps(folder)
            how = f"--resume goes on from step {steps[-1]}" if steps else "before the first step"
            console.print(f"interrupted: {how} in {folder}")
            return 130
        if metrics is not None:
            write_json(options.json, metrics)
    return 0


def _prepare(folder: Path, resume: bool) -> None:
    """Makes the run's folders. Raises `InputError` if there is a run already, or nothing can be written."""
    if saved_steps(folder) and not resume:
        raise InputError(f"{folder}: already holds a run: give --resume to go on with it, or another --out")
    check_writable(folder, "--out")
    for place in (folder, folder / "samples", folder / "checkpoints"):
        make_folder(place)
        remove_leftovers(place)


def _fit(settings: Settings, folder: Path, options: argparse.Namespace, team: Alone) -> dict[str, Any] | None:
    """The finished run's metrics, for the process that writes. Raises `KeyboardInterrupt` if interrupted, checkpoint written."""
    allowed, checkpoint, before = options.allow_change, None, None
    with team.together():
        if team.writes and saved_steps(folder):
            checkpoint = load_for_resuming(folder, warn)
    checkpoint = team.of_writer(checkpoint)
    with team.together():
        if checkpoint is not None:
            settings = taken_up(settings, checkpoint.state.get("facts"), allowed, folder)
        else:
            settings, before = continued(settings, options.continue_from, folder)
    training, source = team.leader_first(
        lambda: open_stream(settings) if streams(settings.source) else load_training(settings.source)
    )
    settings, experiment = replace(settings, source=source), settings.experiment
    with team.together():
        facts = facts_of(settings, training)
        validation = load_scenes(source, "val", sphere_of(source)) if team.writes else []
    with team.together():
        team.refuse_unlike("configuration and scenes", repr((experiment, facts["scenes"])))
    with team.together():
        if experiment.hypernetwork.factors and not experiment.train.loss.spread:
            raise InputError("hypernetwork.factors: weights' spread is learned by train.loss.spread: set both, or neither")
        check_views(validation, experiment.evaluate, experiment.evaluate.context_views)
        trainer = Trainer(experiment, training, folder, facts, team)
        if before is not None:
            trainer.start_from(before.generator)
        if checkpoint is not None:
            refuse_changes(checkpoint.state["facts"], facts, allowed, folder)
            trainer.resume(checkpoint)
            console.print(f"resumed at step {trainer.step}, {trainer.minutes:.1f} minutes in")
        release_freed_memory()
        if team.writes:
            _begin_log(folder, trainer.step if checkpoint is not None else None)
            write_atomically(folder / "config.yaml", lambda path: path.write_text(dump_yaml(settings.to_dict())))
    try:
        if not (_train(trainer, experiment, validation, folder) if team.writes else trainer.run(lambda _: None, lambda _: None)):
            raise KeyboardInterrupt
    finally:
        if isinstance(training, SceneStream):
            training.close()
    if team.writes:
        leave_memory(trainer, folder)
    team.leave()
    return finish_run(load_run(folder), open_source(source), len(training)) if team.writes else None


def _begin_log(folder: Path, step: int | None) -> None:
    """A new log, or that of the run that goes on from `step`."""
    if step is None:
        (folder / "metrics.jsonl").unlink(missing_ok=True)
    else:
        keep_metrics_until(folder, step)


def load_training(source: SourceConfig) -> tuple[list[StoredScene], SourceConfig]:
    """The training scenes in the scene sphere, and the configuration with sphere and up axis stated."""
    if source.name in DRAWN and (ignored := changed_reading(source)):
        raise InputError(f"source.{ignored[0]}: source {source.name!r} reads no images, it draws them: see source.size")
    scenes = load_scenes(source, "train", None)
    sphere = sphere_of(source) or shared_sphere(scenes)
    source = replace(source, center=sphere.center, radius=sphere.radius, near=None, far=None, up=source.up or shared_up(scenes))
    center = ", ".join(f"{x:.3g}" for x in sphere.center)
    console.print(f"{len(scenes)} training scenes; scene sphere at ({center}), radius {sphere.radius:.3g}")
    return normalized(scenes, sphere), source


def _train(trainer: Trainer, experiment: Experiment, validation: list[StoredScene], folder: Path) -> bool:
    """Trains with a bar; False if interrupted."""
    recent: deque[StepReport] = deque(maxlen=50)
    writer = open_tensorboard(folder) if experiment.train.tensorboard else None

    def summary() -> str:
        if not recent:
            return f"step {trainer.step}"
        mean = {name: sum(getattr(r, name) for r in recent) / len(recent) for name in ("loss", "psnr", "rays_per_second")}
        speed = f"{mean['rays_per_second'] / 1e3:.1f}k rays/s"
        return f"step {trainer.step}  loss {mean['loss']:.4f}  PSNR {mean['psnr']:.2f} dB  {speed}"

    with progress_bar(TextColumn("{task.fields[text]}")) as progress:
        task = progress.add_task("train", total=1.0, text="")

        def on_step(report: StepReport) -> None:
            if report.skipped:
                names = ", ".join(report.skipped)
                append_metrics(folder, {"kind": "skipped", "step": report.step, "scenes": report.skipped})
                warn(f"step {report.step} skipped, its loss or gradient is not finite: {names}")
                return
            recent.append(report)
            progress.update(task, completed=report.progress, text=summary())
            if report.step % 20 == 0 or report.progress >= 1:
                append_metrics(folder, {"kind": "train", **asdict(report)})
                if writer is not None:
                    writer.add_scalar("train/psnr", report.psnr, report.step)
                    writer.add_scalar("train/loss", report.loss, report.step)

        def on_validation(current: Trainer) -> None:
            scores = _validate(current, experiment, validation, folder)
            append_metrics(folder, {"kind": "validation", "step": current.step, "minutes": current.minutes, **scores})
            shown = "  ".join(f"{count} views {value:.2f} dB" for count, value in scores["psnr"].items())
            console.print(f"{current.minutes:6.1f} min  {summary()}  | unseen: {shown}")
            if writer is not None:
                for count, value in scores["psnr"].items():
                    writer.add_scalar(f"validation/psnr_{count}_views", value, current.step)

        return trainer.run(on_step, on_validation)


def _validate(trainer: Trainer, experiment: Experiment, scenes: list[StoredScene], folder: Path) -> dict:
    """PSNR on up to 8 unseen scenes, 4 views each, for the fewest and most context views, and a sheet of the first six."""
    config = replace(experiment.evaluate, max_target_views=min(4, experiment.evaluate.max_target_views or 4))
    counts, result = sorted({min(config.context_views), max(config.context_views)}), {}
    rows: list[Row] = []

    def targets(scene: StoredScene) -> list[int]:
        return target_views(scene, config, counts)

    for count in counts:
        views = config.views_for(count)

        def keep(scene: StoredScene, weights, images: torch.Tensor, views=views, last=count == counts[-1]) -> None:
            if last and len(rows) < 6:
                rows.append(Row(scene.image(views), images[:2], scene.image(targets(scene)[:2])))

        fields = lambda scene, views=views: reconstruct(trainer.average, scene, views)
        result[str(count)] = evaluate_fields(scenes[:8], fields, targets, experiment.render, on_scene=keep).psnr
    save_image(folder / "samples" / f"step_{trainer.step:08d}.png", comparison_sheet(rows))
    return {"psnr": result}
