"""time: scenes that move, read at time 0 and written for any time, against the same field standing still."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from hypernerf.cli.common import tracked
from hypernerf.cli.session import Run, load_run, load_scenes
from hypernerf.export import Row, comparison_sheet
from hypernerf.rendering import render_views
from hypernerf.training import StoredScene, context_views
from hypernerf.training.metrics import psnr
from hypernerf.types import InputError

from .output import Cell, MemberParser, report


def main(arguments: Sequence[str]) -> None:
    parser = MemberParser(
        "time",
        "PSNR on unseen scenes and views at each time, of weights written for that time and of those written for time 0, which "
        "stand still. Views of time 0 are read. The picture: a scene a row, read, then (predicted, true) at each time.",
        "  python tools/family.py time runs/moving -o out/time.png --json out/time.json",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a run of configs/family/moving.yaml")
    parser.add_argument("--context-views", type=int, default=3, metavar="N", help="views that are read (default: 3)")
    options, overrides = parser.read(arguments)
    run = load_run(options.run, overrides)
    if run.generator.motion is None:
        raise InputError(f"{options.run}: its scenes stand still: train configs/family/moving.yaml")
    scenes = [scene for scene in load_scenes(run.source, "test", run.transform) if scene.times is not None]
    if not scenes:
        raise InputError(f"{options.run}: no test scene says when its views were taken: set source.moving true")
    times = sorted({float(time) for scene in scenes if scene.times is not None for time in scene.times})
    scores: dict[float, list[tuple[float, float]]] = {time: [] for time in times}
    for scene in tracked(scenes, "times", len(scenes)):
        for time in times:
            scores[time].append(_score(run, scene, time, options.context_views))
    rows: list[dict[str, Cell]] = []
    for time, pairs in scores.items():
        moving, still = torch.tensor(pairs).mean(0).tolist()
        rows.append({"time": time, "dB, moving": moving, "dB, static": still, "gain": moving - still})
    report(options, rows, _picture(run, scenes[:6], times, options.context_views), scenes=len(scenes))


@torch.no_grad()
def _images(run: Run, scene: StoredScene, time: float, views: Sequence[int], count: int) -> Tensor:
    read = scene.views_at(0.0)[:count]
    code = run.generator.encode(context_views([scene], read).to(run.generator.device))
    weights = run.generator.generate(run.generator.at(code, torch.tensor([time], device=run.generator.device)))
    return render_views(weights, scene.cameras[list(views)], scene.background, run.experiment.render).color


def _targets(scene: StoredScene, time: float, count: int) -> list[int]:
    return scene.views_at(time)[count if time == 0 else 0 :]


def _score(run: Run, scene: StoredScene, time: float, count: int) -> tuple[float, float]:
    views = _targets(scene, time, count)
    moving, still = (_images(run, scene, when, views, count) for when in (time, 0.0))
    return tuple(float(psnr(images, scene.image(views)).mean()) for images in (moving, still))  # type: ignore[return-value]


def _picture(run: Run, scenes: Sequence[StoredScene], times: Sequence[float], count: int):
    rows = []
    for scene in scenes:
        shown = [(time, _targets(scene, time, count)[0]) for time in times]
        images = torch.cat([_images(run, scene, time, [view], count) for time, view in shown])
        rows.append(Row(scene.image([0]), images, scene.image([view for _, view in shown])))
    return comparison_sheet(rows, 1)
