"""scores: how many parameters write how many, and what the fields are worth, for runs of any head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from hypernerf.cli.common import tracked
from hypernerf.cli.session import Run, load_run, load_scenes
from hypernerf.export.chart import line_chart
from hypernerf.training import evaluate_fields, reconstruct, target_views

from .output import Cell, MemberParser, report


def main(arguments: Sequence[str]) -> None:
    parser = MemberParser(
        "scores",
        "Compare runs: parameters of the hypernetwork that has to be kept, parameters it writes, and PSNR on unseen scenes and "
        "views. Parameters that only a seed decides (hypernetwork.learn_base false) need not be kept and are not counted.",
        "  python tools/family.py scores runs/static runs/layer_embedding -o out/scores.png --json out/scores.json",
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folders of tools/fit_scenes.py runs")
    options, overrides = parser.read(arguments)
    rows = [_row(load_run(folder, overrides)) for folder in options.runs]
    points = {str(row["run"]): [(float(row["generator / written"] or 0), float(row["dB, 3 views"] or 0))] for row in rows}
    chart = line_chart(points, "parameters of the generator / parameters written", "PSNR (dB), 3 views", log_x=True)
    report(options, rows, chart)


def _row(run: Run) -> dict[str, Cell]:
    counts = run.experiment.evaluate.context_views
    network, spec = run.generator.hypernetwork, run.experiment.field
    seeded = () if run.experiment.hypernetwork.learn_base else ("base.",)
    kept = sum(p.numel() for name, p in network.named_parameters() if not name.startswith(seeded))
    written = sum(math.prod(shape) for shape in spec.param_shapes.values())
    row: dict[str, Cell] = {
        "run": run.folder.name, "head": run.experiment.hypernetwork.head, "generator": kept, "written": written,
        "generator / written": kept / written,
    }  # fmt: skip
    scenes = load_scenes(run.source, "test", run.transform)
    for count in (1, 3):
        views = run.experiment.evaluate.views_for(count)
        targets = lambda scene: target_views(scene, run.experiment.evaluate, counts)
        fields = lambda scene, views=views: reconstruct(run.generator, scene, views)
        bar = tracked(scenes, f"{run.folder.name}, {count} views", len(scenes))
        row[f"dB, {count} view{'s' * (count > 1)}"] = evaluate_fields(bar, fields, targets, run.experiment.render).psnr
    return row
