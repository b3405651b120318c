"""Shape metrics of reconstructed fields: against exact shapes, or, where there are only masks, against those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import trimesh

from ..export import ExtractedMesh, extract_mesh, silhouette_agreement
from ..export.mesh import SURFACE_DENSITY, to_trimesh
from ..fields import SceneField
from ..geometry import camera_rays, cell_points
from ..rendering import RenderSettings, scene_orbit
from ..rendering.occupancy import grid_density
from ..training import StoredScene
from ..training.geometry_metrics import ShapeScores, grid_iou, score_shape
from ..types import InputError
from .common import tracked

SHAPE_GRID = 64
MESH_RESOLUTION = 96
SURFACE_POINTS = 10_000


@dataclass(frozen=True)
class ShapeTask:
    """The fields of some scenes, in their order, and what they are compared with."""

    count: int  # context views that the fields were read from
    scenes: Sequence[StoredScene]
    fields: Sequence[SceneField]
    mean: SceneField
    settings: RenderSettings


def score_shapes(task: ShapeTask, source: Any) -> dict[str, Any]:
    """Mean IoU and Chamfer-L1 of the fields and of the mean field, and how well meshes agree with rendered opacity.

    Args:
        source: whose `shape(scene_id)` is the exact object.
    """
    rows, mean_rows, agreement, unmeshed = [], [], [], 0
    mean_occupied, mean_surface, _ = _shape_of(task.mean)
    for field in tracked(task.fields, "shapes", len(task.fields)):
        shape = source.shape(field.name)
        truth = shape.surface_points(SURFACE_POINTS, np.random.default_rng(0))
        occupied, surface, mesh = _shape_of(field)
        rows.append(score_shape(occupied, surface, shape.occupancy, truth, SHAPE_GRID))
        mean_rows.append(score_shape(mean_occupied, mean_surface, shape.occupancy, truth, SHAPE_GRID))
        if mesh is None:
            unmeshed += 1
        else:
            agreement.append(float(silhouette_agreement(field, mesh, scene_orbit(field, 8, (64, 64)), task.settings).mean()))

    def means(scores: list[ShapeScores]) -> dict[str, float]:
        return {"iou": fmean(s.iou for s in scores), "chamfer_l1": fmean(s.chamfer for s in scores)}

    return {
        "context_views": task.count,
        **means(rows),
        "mean_field": means(mean_rows),
        "silhouette_iou": {"mean": fmean(agreement), "worst": min(agreement)} if agreement else None,
        "empty_fields": unmeshed,
    }


def score_meshes(task: ShapeTask, targets: Callable[[StoredScene], list[int]]) -> dict[str, Any]:
    """Mean IoU of the meshes' silhouettes and the true masks of unseen views; `mask_iou` 0 for a field without a mesh."""
    mean = _mesh_of(task.mean)
    scores, mean_scores = [], []
    for scene, field in tracked(zip(task.scenes, task.fields, strict=True), "meshes", len(task.fields)):
        scores.append(mask_iou(field, _mesh_of(field), scene, targets(scene)))
        mean_scores.append(mask_iou(task.mean, mean, scene, targets(scene)))
    return {"context_views": task.count, "mask_iou": fmean(scores), "mean_field": {"mask_iou": fmean(mean_scores)}}


def mask_iou(field: SceneField, mesh: ExtractedMesh | None, scene: StoredScene, views: Sequence[int]) -> float:
    """Mean intersection over union of a mesh's silhouette and the masks of `views` of a scene (cameras in the sphere)."""
    assert scene.masks is not None
    if mesh is None:
        return 0.0
    surface = to_trimesh(mesh)
    surface.apply_translation(-np.asarray(field.transform.center))
    surface.apply_scale(1 / field.transform.radius)
    rays = camera_rays(scene.cameras[list(views)])
    hit = surface.ray.intersects_any(rays.origins.reshape(-1, 3).numpy(), rays.directions.reshape(-1, 3).numpy())
    true = (scene.masks[list(views)] > 127).flatten(1).numpy()
    return fmean(grid_iou(drawn, known) for drawn, known in zip(hit.reshape(true.shape), true, strict=True))


def _mesh_of(field: SceneField) -> ExtractedMesh | None:
    try:
        return extract_mesh(field, MESH_RESOLUTION)
    except InputError:  # its density reaches the surface's nowhere
        return None


def _shape_of(field: SceneField) -> tuple[np.ndarray, np.ndarray | None, ExtractedMesh | None]:
    """(which cells of the grid are inside, points of the mesh's surface, the mesh); None, None for an empty field."""
    occupied = (grid_density(field.weights, cell_points(SHAPE_GRID))[0] > SURFACE_DENSITY).numpy()
    mesh = _mesh_of(field)
    if mesh is None:
        return occupied, None, None
    points, _ = trimesh.sample.sample_surface(to_trimesh(mesh), SURFACE_POINTS, seed=0)
    return occupied, np.asarray(points), mesh
