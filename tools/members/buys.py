"""buys: what a hypernetwork buys. Compression over many scenes, regularization from few views, a space between scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hypernerf.cli.common import check_writable, console
from hypernerf.cli.session import Run, load_run, load_scenes
from hypernerf.cli.shared_base import some_training_scenes
from hypernerf.export import save_frames
from hypernerf.export.chart import line_chart
from hypernerf.export.sheet import to_bytes
from hypernerf.rendering import RenderSettings, render_views
from hypernerf.training import StoredScene
from hypernerf.types import InputError

from .compression import compression_rows, kinds
from .interpolation import SIZE, STEPS, around, interpolation_rows, ways
from .output import Cell, MemberParser, report, show
from .regularization import regularization_rows

PARTS = ("compression", "regularization", "interpolation")


def main(arguments: Sequence[str]) -> None:
    parser = MemberParser(
        "buys",
        "What a hypernetwork buys: (compression) bytes of many scenes kept one by one, as delta files, or as the model and the "
        "images it reads; (regularization) given against unseen views, for generated weights and for weights learned directly; "
        "(interpolation) fields between two scenes, by their codes and by their weights.",
        "  python tools/family.py buys runs/quickstart -o out/buys.png --video out/between.mp4 --json out/buys.json",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a tools/fit_scenes.py run")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help="some of the three (default: all)"
    )
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2, 3, 5], metavar="N", help="regularization: given views")
    parser.add_argument("--steps", type=int, default=400, metavar="N", help="regularization: of direct learning (default: 400)")
    parser.add_argument("--scenes", type=int, default=8, metavar="N", help="unseen scenes that are used (default: 8)")
    parser.add_argument(
        "--video", type=Path, metavar="FILE", help="interpolation: FILE.mp4 or FILE.gif, both spaces side by side"
    )
    options, overrides = parser.read(arguments)
    if options.scenes < 2 or options.steps < 4 or min(options.views) < 1:
        raise InputError("--scenes must be at least 2, --steps at least 4, --views at least 1")
    if options.video is not None:
        check_writable(options.video.parent, "--video")
    run = load_run(options.run, overrides)
    scenes = load_scenes(run.source, "test", run.transform)[: options.scenes]
    tables: dict[str, list[dict[str, Cell]]] = {}
    pictures = []
    views = run.experiment.evaluate.views_for(min(3, len(scenes[0])))
    if "compression" in options.parts:
        found = kinds(run, scenes, views)
        tables["compression"] = compression_rows(found)
        lines = {kind.name: [(count, kind.total(count) / 1e6) for count in (1, 10, 100, 1000, 10_000)] for kind in found}
        pictures.append(line_chart(lines, "scenes", "MB", log_x=True, log_y=True))
    if "regularization" in options.parts:
        tables["regularization"] = regularization_rows(run, scenes, options.views, options.steps)
        pictures.append(_views_chart(tables["regularization"]))
    if "interpolation" in options.parts:
        training = some_training_scenes(run, 48)
        pairs = [(scenes[i], scenes[i + 1]) for i in range(len(scenes) - 1)]
        tables["interpolation"] = interpolation_rows(run, pairs, training, views)
        frames = _between(run, scenes[:2], views)
        pictures.append(Image.fromarray(np.concatenate(list(frames), axis=1)))
        if options.video is not None:
            save_frames(options.video, _film(frames), 12)
            console.print(f"{options.video}: left between codes, right between weights")
    *before, last = tables
    for name in before:
        console.print(f"\n{name}")
        show(tables[name])
    console.print(f"\n{last}")
    report(options, tables[last], _stacked(pictures), **{name: tables[name] for name in before}, parts=list(tables))


def _views_chart(rows: Sequence[dict[str, Cell]]) -> Image.Image:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        lines.setdefault(str(row["weights"]), []).append((float(row["views"] or 0), float(row["unseen views (dB)"] or 0)))
    return line_chart(lines, "given views", "PSNR of unseen views (dB)")


def _between(run: Run, pair: Sequence[StoredScene], views: Sequence[int]) -> np.ndarray:
    """Pictures [field, 2 * SIZE, SIZE, 3] along the way: above between codes, below between weights."""
    camera = around(pair[0], torch.tensor(run.source.up or (0.0, 0.0, 1.0)), 8, SIZE)[1:2]
    see = lambda weights: to_bytes(render_views(weights, camera, pair[0].background, RenderSettings(samples=48)).color[0])
    both = ways(run.generator, pair, views, STEPS)
    return np.stack([np.concatenate([see(a), see(b)]) for a, b in zip(both["code"], both["weights"], strict=True)])


def _film(frames: np.ndarray) -> np.ndarray:
    """There and back, code left, weights right."""
    beside = np.concatenate([frames[:, :SIZE], frames[:, SIZE:]], axis=2)
    return np.concatenate([beside, beside[-2:0:-1]])


def _stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet
