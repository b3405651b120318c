"""The whole evaluation of a run: image metrics, baselines, and shape metrics where the exact shape is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import torch
import trimesh

from scenes.source import SceneSource

from ..export import ExtractedMesh, Row, extract_mesh, silhouette_agreement
from ..export.mesh import SURFACE_DENSITY, to_trimesh
from ..fields import FieldWeights, SceneField
from ..geometry import cell_points
from ..rendering import RenderSettings, scene_orbit
from ..rendering.occupancy import grid_density
from ..training import (
    AdaptConfig,
    StoredScene,
    adapt,
    context_views,
    evaluate_fields,
    evaluate_images,
    nearest_context_view,
    reconstruct,
    target_views,
)
from ..training.geometry_metrics import ShapeScores, score_shape
from ..training.metrics import lpips_metric
from ..types import InputError
from .common import tracked
from .session import Run

SHAPE_GRID = 64
MESH_RESOLUTION = 96
SURFACE_POINTS = 10_000


@dataclass(frozen=True)
class Measurement:
    """`metrics` is what metrics.json holds; `rows` and `fields` (largest context) are for looking at."""

    metrics: dict[str, Any]
    rows: list[Row]
    fields: list[SceneField]


def measure(
    run: Run, scenes: Sequence[StoredScene], counts: Sequence[int], source: SceneSource | None = None, adapt_steps: int = 0
) -> Measurement:
    """Everything on `scenes`, for each number of context views in `counts`; all counts score the same target views.

    Args:
        source: if its `shape(scene_id)` gives the exact object, shape metrics are added, for the largest count.
        adapt_steps: if not 0, fields are adapted to their context views by up to so many steps.

    Raises:
        InputError: scenes with too few views.
    """
    config, settings = run.experiment.evaluate, run.experiment.render
    counts = sorted(counts)
    needed = 1 + max(view for count in counts for view in config.views_for(count))
    for scene in scenes:
        if len(scene) <= needed - 1 or not target_views(scene, config, counts):
            raise InputError(f"{scene.scene_id}: {len(scene)} views are too few for context views {counts} and a target view")
    lpips, lpips_reason = lpips_metric()
    started, seconds = time.perf_counter(), {}

    def targets(scene: StoredScene) -> list[int]:
        return target_views(scene, config, counts)

    def lap(name: str) -> None:
        nonlocal started
        seconds[name] = round(time.perf_counter() - started, 2)
        started = time.perf_counter()

    results, rows, fields = {}, [], []
    for count in counts:
        views = config.views_for(count)

        def keep(scene: StoredScene, weights: FieldWeights, images: torch.Tensor, views=views, last=count == counts[-1]) -> None:
            if last:
                rows.append(Row(scene.image(views), images[:2], scene.image(targets(scene)[:2])))
                fields.append(run.scene_field(scene.scene_id, weights, scene.cameras))

        bar = tracked(scenes, f"evaluate {count} view{'s' * (count > 1)}", len(scenes))
        scores = evaluate_fields(bar, partial(_reconstructed, run, views, adapt_steps), targets, settings, lpips, keep)
        results[str(count)] = asdict(scores)
        lap(f"context_views_{count}")

    mean = run.generator.generate(run.mean_code).rounded()
    most = config.views_for(counts[-1])
    baselines = {
        "mean_field": evaluate_fields(tracked(scenes, "mean field", len(scenes)), lambda s: mean, targets, settings, lpips),
        "nearest_view": evaluate_images(scenes, lambda s: nearest_context_view(s, most, targets(s)), targets, lpips),
        "mean_image": evaluate_images(
            scenes, lambda s: _fit(run.mean_image, s).expand(len(targets(s)), -1, -1, -1), targets, lpips
        ),
    }
    lap("baselines")
    metrics: dict[str, Any] = {
        "scenes": len(scenes),
        "context_views": results,
        "baselines": {name: asdict(scores) for name, scores in baselines.items()},
        "lpips_missing": lpips_reason or None,
        "step": run.step,
        "adapt_steps": adapt_steps,
    }
    if source is not None and hasattr(source, "shape"):
        mean_field = run.scene_field("mean", mean, scenes[0].cameras)
        metrics["shape"] = _shapes(fields, mean_field, source, counts[-1], settings)
        lap("shape")
    metrics["seconds"] = seconds
    return Measurement(metrics, rows, fields)


def _reconstructed(run: Run, views: Sequence[int], adapt_steps: int, scene: StoredScene) -> FieldWeights:
    if adapt_steps:
        return adapt(run.generator, context_views([scene], views), AdaptConfig(adapt_steps)).weights
    return reconstruct(run.generator, scene, views)


def _fit(image: torch.Tensor, scene: StoredScene) -> torch.Tensor:
    size = scene.images.shape[1:3]
    if image.shape[:2] == size:
        return image
    return torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], size, mode="area")[0].permute(1, 2, 0)


def _shapes(fields: Sequence[SceneField], mean: SceneField, source: Any, count: int, settings: RenderSettings) -> dict[str, Any]:
    """Mean IoU and Chamfer-L1 of the fields and of the mean field, and how well meshes agree with rendered opacity."""
    rows, mean_rows, agreement, unmeshed = [], [], [], 0
    mean_occupied, mean_surface, _ = _shape_of(mean)
    for field in tracked(fields, "shapes", len(fields)):
        shape = source.shape(field.name)
        truth = shape.surface_points(SURFACE_POINTS, np.random.default_rng(0))
        occupied, surface, mesh = _shape_of(field)
        rows.append(score_shape(occupied, surface, shape.occupancy, truth, SHAPE_GRID))
        mean_rows.append(score_shape(mean_occupied, mean_surface, shape.occupancy, truth, SHAPE_GRID))
        if mesh is None:
            unmeshed += 1
        else:
            agreement.append(float(silhouette_agreement(field, mesh, scene_orbit(field, 8, (64, 64)), settings).mean()))

    def means(scores: list[ShapeScores]) -> dict[str, float]:
        return {"iou": fmean(s.iou for s in scores), "chamfer_l1": fmean(s.chamfer for s in scores)}

    return {
        "context_views": count,
        **means(rows),
        "mean_field": means(mean_rows),
        "silhouette_iou": {"mean": fmean(agreement), "worst": min(agreement)} if agreement else None,
        "empty_fields": unmeshed,
    }


def _shape_of(field: SceneField) -> tuple[np.ndarray, np.ndarray | None, ExtractedMesh | None]:
    """(which cells of the grid are inside, points of the mesh's surface, the mesh); None, None for an empty field."""
    occupied = (grid_density(field.weights, cell_points(SHAPE_GRID))[0] > SURFACE_DENSITY).numpy()
    try:
        mesh = extract_mesh(field, MESH_RESOLUTION)
    except InputError:
        return occupied, None, None
    points, _ = trimesh.sample.sample_surface(to_trimesh(mesh), SURFACE_POINTS, seed=0)
    return occupied, np.asarray(points), mesh
