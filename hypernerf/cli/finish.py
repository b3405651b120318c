"""What a finished run is given: metrics, sheets, turntables, meshes, and a page that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from scenes.source import SceneSource

from ..export import comparison_sheet, extract_mesh, save_frames, save_image, save_mesh
from ..export.report import ReportData, write_report
from ..export.sheet import to_bytes
from ..fields import SceneField, save_scene_file
from ..rendering import render_scene, scene_orbit
from ..training.logs import read_metrics
from ..types import InputError
from .common import console, tracked, write_json
from .machine import machine
from .measure import measure
from .session import Run, load_scenes


def finish_run(run: Run, source: SceneSource, training_scenes: int) -> dict[str, Any]:
    """Evaluates on the test split and writes metrics.json, samples/ and report.html into the run folder; the metrics."""
    config = run.experiment.evaluate
    scenes = load_scenes(run.source, "test", run.transform)
    result = measure(run, scenes, config.context_views, source)
    facts = {"scenes": training_scenes, "machine": machine(run.generator.device)}
    result.metrics["training"] = {**facts, **_last_step(run.folder)}
    write_json(run.folder / "metrics.json", result.metrics)
    samples = run.folder / "samples"
    save_image(samples / "test.png", comparison_sheet(result.rows[:12]))
    shown = result.fields[: max(config.meshes, 1)]
    frames = turntable(shown)
    save_frames(samples / "turntable.mp4", frames)
    save_frames(samples / "turntable.gif", frames)
    meshes = []
    for field in tracked(shown[: config.meshes], "meshes"):
        name = field.name.replace("/", "-")  # sources with splits in folders name scenes by them
        save_scene_file(samples / f"{name}.field.safetensors", field)
        try:
            save_mesh(samples / f"{name}.glb", extract_mesh(field, 96))
            meshes.append(samples / f"{name}.glb")
        except InputError as error:
            console.print(f"[yellow]{error}[/]")
    write_report(
        run.folder / "report.html",
        ReportData(
            title=run.folder.resolve().name,
            metrics=result.metrics,
            train=read_metrics(run.folder, "train"),
            validation=read_metrics(run.folder, "validation"),
            sheets=[samples / "test.png", *sorted(samples.glob("step_*.png"))[-1:]],
            turntable=samples / "turntable.gif",
            meshes=meshes,
        ),
    )
    print_table(result.metrics)
    console.print(f"look at {run.folder / 'report.html'}; scene files and meshes are in {samples}")
    return result.metrics


def _last_step(folder: Path) -> dict[str, Any]:
    entries = read_metrics(folder, "train")
    return {key: entries[-1][key] for key in ("step", "minutes", "rays_per_second")} if entries else {}


def turntable(fields: list[SceneField], frames: int = 24, size: int = 96) -> UInt8[np.ndarray, "frame height width 3"]:
    """The fields turning side by side, each seen from as far away as its context cameras were."""
    views = lambda field: render_scene(field, scene_orbit(field, frames, (size, size)))
    columns = [to_bytes(views(field).color) for field in tracked(fields, "turntable")]
    return np.concatenate(columns, axis=2)


def print_table(metrics: dict) -> None:
    """Scores and baselines, one a line."""
    lines = [(f"{count} context view{'s' * (count != '1')}", scores) for count, scores in metrics["context_views"].items()]
    if "adapted" in metrics:
        steps = metrics["adapted"]["steps"]
        lines += [(f"{count}, adapt {steps}", scores) for count, scores in metrics["adapted"]["context_views"].items()]
    lines += [(name.replace("_", " "), scores) for name, scores in metrics["baselines"].items()]
    console.print(f"on {metrics['scenes']} unseen scenes, unseen views:")
    for name, scores in lines:
        console.print(f"  {name:18} PSNR {scores['psnr']:6.2f} dB   SSIM {scores['ssim']:.3f}")
    if "shape" in metrics:
        shape = metrics["shape"]
        console.print(
            f"  shape, {shape['context_views']} views: IoU {shape['iou']:.3f}, Chamfer-L1 {shape['chamfer_l1']:.4f} "
            f"(mean field: {shape['mean_field']['iou']:.3f}, {shape['mean_field']['chamfer_l1']:.4f})"
        )
        if shape["silhouette_iou"] is not None:
            agreement = shape["silhouette_iou"]
            console.print(f"  meshes against rendered opacity: IoU {agreement['mean']:.3f}, worst {agreement['worst']:.3f}")
    if "mesh" in metrics:
        mesh, views = metrics["mesh"], metrics["mesh"]["context_views"]
        console.print(
            f"  meshes against the masks of unseen views, {views} views: IoU {mesh['mask_iou']:.3f} "
            f"(mean field: {mesh['mean_field']['mask_iou']:.3f})"
        )
