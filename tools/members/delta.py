"""delta: bytes a scene against the quality lost, when a scene is kept as what changes a shared base."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypernerf.cli.common import tracked
from hypernerf.cli.session import Run, load_run, load_scenes
from hypernerf.cli.shared_base import run_base
from hypernerf.export.chart import line_chart
from hypernerf.fields import SceneField, load_scene_file, save_delta_file, save_scene_file
from hypernerf.training import StoredScene, evaluate_fields, reconstruct, target_views

from .output import Cell, MemberParser, report

COARSENESSES = (0.25, 0.5, 1.0, 2.0, 4.0)


def main(arguments: Sequence[str]) -> None:
    parser = MemberParser(
        "delta",
        "How small a scene's file can be: whole scene files and delta files (tools/reconstruct.py --delta) of several "
        "coarsenesses, on unseen scenes and views. Bytes are of files as written; the base is counted apart.",
        "  python tools/family.py delta runs/quickstart --context-views 3 -o out/delta.png --json out/delta.json",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a tools/fit_scenes.py run")
    parser.add_argument("--context-views", type=int, default=3, metavar="N", help="views that are read (default: 3)")
    options, overrides = parser.read(arguments)
    run = load_run(options.run, overrides)
    rows, base_bytes = rate_curve(run, load_scenes(run.source, "test", run.transform), options.context_views)
    curve = [(float(row["bytes a scene"] or 0), float(row["dB lost"] or 0)) for row in rows[1:]]
    chart = line_chart({"delta files": curve}, "bytes a scene", "dB lost against the whole scene file", log_x=True)
    report(options, rows, chart, base_bytes=base_bytes, run=str(options.run))


def rate_curve(run: Run, scenes: Sequence[StoredScene], count: int) -> tuple[list[dict[str, Cell]], int]:
    """(rows of file kind, bytes, dB and dB lost; bytes of the base)."""
    base, views = run_base(run), run.experiment.evaluate.views_for(count)
    fields = [
        run.scene_field(scene.scene_id, reconstruct(run.generator, scene, views), scene.cameras)
        for scene in tracked(scenes, "reconstruct", len(scenes))
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.field.safetensors"

        def row(kind: str, save) -> dict[str, Cell]:
            kept, sizes = {}, []
            for field in fields:
                save(path, field)
                sizes.append(path.stat().st_size)
                kept[field.name] = load_scene_file(path)
            return {"file": kind, "bytes a scene": sum(sizes) / len(sizes), "PSNR (dB)": _score(run, scenes, kept, count)}

        rows = [row("whole", save_scene_file)]
        for coarseness in tracked(COARSENESSES, "delta files", len(COARSENESSES)):
            rows.append(row(f"delta, coarseness {coarseness:g}", lambda p, f, c=coarseness: save_delta_file(p, f, base, c)))
        size = (Path(folder) / base.file_name).stat().st_size
    for entry in rows:
        entry["dB lost"] = float(rows[0]["PSNR (dB)"] or 0) - float(entry["PSNR (dB)"] or 0)
    return rows, size


def _score(run: Run, scenes: Sequence[StoredScene], kept: dict[str, SceneField], count: int) -> float:
    targets = lambda scene: target_views(scene, run.experiment.evaluate, [count])
    return evaluate_fields(scenes, lambda s: kept[s.scene_id].weights, targets, run.experiment.render).psnr
