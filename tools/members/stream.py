"""stream: how much better a scene is known after each view, read one at a time in constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from hypernerf.cli.common import tracked
from hypernerf.cli.session import Run, load_run, load_scenes
from hypernerf.export.chart import line_chart
from hypernerf.fields import FieldWeights
from hypernerf.models.stream import StreamState, code_of, read_view
from hypernerf.rendering import render_views
from hypernerf.training import StoredScene, context_views, reconstruct
from hypernerf.training.metrics import psnr

from .output import Cell, MemberParser, report


def main(arguments: Sequence[str]) -> None:
    parser = MemberParser(
        "stream",
        "PSNR on unseen scenes and views after each view that arrives, and bytes that are kept of a scene between views; beside "
        "it runs that read the same views as a set.",
        "  python tools/family.py stream runs/stream --against runs/stream_set -o out/stream.png --json out/stream.json",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a run of configs/family/stream.yaml")
    parser.add_argument("--against", metavar="RUN", type=Path, nargs="+", default=[], help="runs that read sets")
    parser.add_argument("--views", type=int, default=5, metavar="N", help="views that arrive (default: 5)")
    options, overrides = parser.read(arguments)
    run = load_run(options.run, overrides)
    scenes = load_scenes(run.source, "test", run.transform)
    bar = tracked(scenes, "stream", len(scenes))
    streamed, kept = zip(*(_streamed(run, scene, options.views) for scene in bar), strict=True)
    scores = {options.run.name: _mean(streamed)}
    for folder in options.against:
        other = load_run(folder, overrides)
        scores[folder.name] = _mean([_as_sets(other, s, options.views) for s in tracked(scenes, folder.name, len(scenes))])
    rows: list[dict[str, Cell]] = []
    for view in range(options.views):
        row: dict[str, Cell] = {"views": view + 1, "bytes kept": kept[0][view]}
        rows.append(row | {f"dB, {name}": values[view] for name, values in scores.items()})
    lines = {name: [(view + 1, value) for view, value in enumerate(values)] for name, values in scores.items()}
    report(options, rows, line_chart(lines, "views read", "PSNR (dB)"), scenes=len(scenes))


@torch.no_grad()
def _streamed(run: Run, scene: StoredScene, views: int) -> tuple[list[float], list[int]]:
    """(dB after each view, bytes kept then)."""
    state, scores, kept = StreamState(0), [], []
    for view in range(views):
        state = read_view(run.generator, state, context_views([scene], [view]).to(run.generator.device))
        weights = run.generator.generate(code_of(run.generator, state)).rounded()
        scores.append(_score(run, scene, weights, views))
        kept.append(state.bytes_a_scene)
    return scores, kept


def _as_sets(run: Run, scene: StoredScene, views: int) -> list[float]:
    return [_score(run, scene, reconstruct(run.generator, scene, range(view + 1)), views) for view in range(views)]


def _score(run: Run, scene: StoredScene, weights: FieldWeights, views: int) -> float:
    """dB on views that are never read."""
    targets = list(range(views, len(scene)))[: run.experiment.evaluate.max_target_views]
    images = render_views(weights, scene.cameras[targets], scene.background, run.experiment.render).color
    return float(psnr(images, scene.image(targets)).mean())


def _mean(scores: Sequence[list[float]]) -> list[float]:
    return torch.tensor(scores).mean(0).tolist()
