"""sizes: what one hypernetwork's fields of many sizes are worth and how fast they are, and which is best within a budget."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from hypernerf.cli.common import console, tracked
from hypernerf.cli.session import Run, load_run, load_scenes
from hypernerf.export.chart import Line, line_chart
from hypernerf.fields import FieldSpec, FieldWeights, save_scene_file
from hypernerf.models.sizes import size_name
from hypernerf.rendering import render_views
from hypernerf.training import StoredScene, evaluate_fields, reconstruct, target_views
from hypernerf.types import InputError

from .output import Cell, MemberParser, report

PIXELS, REPEATS = 128, 7  # of a timed view; times it is drawn


def main(arguments: Sequence[str]) -> None:
    parser = MemberParser(
        "sizes",
        "For every size of field that a run writes: bytes of a scene file, time of a view of 128x128, PSNR on unseen scenes and "
        "views. --search-bytes or --search-ms names the best size within a budget, judged on validation scenes.",
        "  python tools/family.py sizes runs/sizes --search-ms 20 -o out/sizes.png --json out/sizes.json",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a tools/fit_scenes.py run of configs/family/sizes.yaml")
    parser.add_argument("--alone", metavar="RUN", type=Path, nargs="+", default=[], help="runs trained for one size each")
    parser.add_argument("--context-views", type=int, default=3, metavar="N", help="views that are read (default: 3)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--search-bytes", type=int, metavar="N", help="at most so many bytes a scene file")
    budget.add_argument("--search-ms", type=float, metavar="T", help="at most so many milliseconds a view of 128x128")
    options, overrides = parser.read(arguments)
    run = load_run(options.run, overrides)
    count, scenes = options.context_views, load_scenes(run.source, "test", run.transform)
    specs = run.generator.config.sizes.specs(run.generator.config.field)
    rows = [_row(run, spec, scenes, count) for spec in tracked(specs, "sizes", len(specs))]
    for other in map(load_run, options.alone):
        dB, name = _psnr(other, other.experiment.field, scenes, count), size_name(other.experiment.field)
        for row in (row for row in rows if row["size"] == name):
            row |= {"dB alone": dB, "dB lost": dB - float(row["PSNR (dB)"] or 0)}
    best = None
    limit, column = (options.search_bytes, "bytes") if options.search_ms is None else (options.search_ms, "ms a view")
    if limit is not None:
        best = _best(run, {size_name(spec): spec for spec in specs}, rows, column, limit, count)
    report(options, rows, line_chart(_lines(rows, specs), "ms a view of 128x128", "PSNR (dB)", log_x=True), best=best)
    if best is not None:
        width, depth = best.split("x")
        console.print(f"best within {limit:g} {column}: --field.width {width} --field.depth {depth}")


def _row(run: Run, spec: FieldSpec, scenes: Sequence[StoredScene], count: int) -> dict[str, Cell]:
    scene = scenes[0]
    weights = _written(run, spec, scene, count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene"
        save_scene_file(path, run.scene_field(scene.scene_id, weights, scene.cameras))
        size = path.stat().st_size
    camera, seconds = scene.cameras[:1].resized(PIXELS, PIXELS), []
    for _ in range(REPEATS):
        start = time.perf_counter()
        render_views(weights, camera, scene.background, run.experiment.render)
        seconds.append(time.perf_counter() - start)
    slow = median(seconds)
    row: dict[str, Cell] = {"size": size_name(spec), "bytes": size, "ms a view": 1000 * slow, "frames/s": 1 / slow}
    return row | {"PSNR (dB)": _psnr(run, spec, scenes, count), "dB alone": None, "dB lost": None}


def _written(run: Run, spec: FieldSpec, scene: StoredScene, count: int) -> FieldWeights:
    return reconstruct(run.generator.write(spec), scene, run.experiment.evaluate.views_for(count))


def _psnr(run: Run, spec: FieldSpec, scenes: Sequence[StoredScene], count: int) -> float:
    targets = lambda scene: target_views(scene, run.experiment.evaluate, [count])
    return evaluate_fields(scenes, lambda s: _written(run, spec, s, count), targets, run.experiment.render).psnr


def _best(run: Run, specs: dict[str, FieldSpec], rows: list[dict[str, Cell]], column: str, limit: float, count: int) -> str:
    """The size with the highest PSNR on validation scenes whose `column` is within `limit`."""
    fitting = [str(row["size"]) for row in rows if float(row[column] or 0) <= limit]
    if not fitting:
        least = min(float(row[column] or 0) for row in rows)
        raise InputError(f"no size is within {limit:g} {column}: the least is {least:.4g}")
    scenes = load_scenes(run.source, "val", run.transform)
    scores = {name: _psnr(run, specs[name], scenes, count) for name in tracked(fitting, "search", len(fitting))}
    return max(scores, key=scores.__getitem__)


def _lines(rows: Sequence[dict[str, Cell]], specs: Sequence[FieldSpec]) -> dict[str, Line]:
    """One a depth, through its widths."""
    points = [(float(row["ms a view"] or 0), float(row["PSNR (dB)"] or 0)) for row in rows]
    pairs = list(zip(specs, points, strict=True))
    return {f"depth {d}": [p for spec, p in pairs if spec.depth == d] for d in sorted({spec.depth for spec in specs})}
