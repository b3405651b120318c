"""continual: what runs in a row still know of the scenes that only the first ones were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypernerf.cli.common import tracked
from hypernerf.cli.session import Run, load_run, load_scenes
from hypernerf.config import to_dict
from hypernerf.export import Row, comparison_sheet
from hypernerf.rendering import render_views
from hypernerf.training import StoredScene, evaluate_fields, reconstruct, target_views

from .output import Cell, MemberParser, report


def main(arguments: Sequence[str]) -> None:
    parser = MemberParser(
        "continual",
        "Score each run on the test scenes of all of them: PSNR on unseen scenes and views. Give the runs in their order, then "
        "those without the regularizer, and one that was trained on everything at once. The picture shows a scene of the first "
        "run's kind, one row a run.",
        "  python tools/family.py continual runs/continual_chairs runs/continual_cars runs/continual_lamps -o out/continual.png",
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folders of tools/fit_scenes.py runs")
    parser.add_argument("--context-views", type=int, default=3, metavar="N", help="views that are read (default: 3)")
    options, overrides = parser.read(arguments)
    runs = [load_run(folder, overrides) for folder in options.runs]
    kinds = _kinds(runs)
    rows: list[dict[str, Cell]] = []
    for run in runs:
        row: dict[str, Cell] = {"run": run.folder.name}
        for name, scenes in kinds.items():
            row[f"dB, {name}"] = _score(run, scenes, options.context_views, name)
        rows.append(row)
    first = next(iter(kinds))
    for row in rows:
        row[f"dB lost, {first}"] = float(rows[0][f"dB, {first}"] or 0) - float(row[f"dB, {first}"] or 0)
    report(options, rows, _picture(runs, kinds[first], options.context_views), context_views=options.context_views)


def _kinds(runs: Sequence[Run]) -> dict[str, list[StoredScene]]:
    """Test scenes of every source that a run was trained on, by the name of the first such run."""
    kinds, known = {}, []
    for run in runs:
        source = to_dict(run.source)
        if source not in known:
            known.append(source)
            kinds[f"scenes of {run.folder.name}"] = load_scenes(run.source, "test", run.transform)
    return kinds


def _score(run: Run, scenes: Sequence[StoredScene], count: int, name: str) -> float:
    config = run.experiment.evaluate
    return evaluate_fields(
        tracked(scenes, f"{run.folder.name}: {name}", len(scenes)),
        lambda scene: reconstruct(run.generator, scene, config.views_for(count)),
        lambda scene: target_views(scene, config, [count]),
        run.experiment.render,
    ).psnr


def _picture(runs: Sequence[Run], scenes: Sequence[StoredScene], count: int):
    rows = []
    for run in runs:
        scene, config = scenes[0], run.experiment.evaluate
        targets = target_views(scene, config, [count])[:4]
        weights = reconstruct(run.generator, scene, config.views_for(count))
        images = render_views(weights, scene.cameras[targets], scene.background, run.experiment.render).color
        rows.append(Row(scene.image(config.views_for(count)), images, scene.image(targets)))
    return comparison_sheet(rows)
