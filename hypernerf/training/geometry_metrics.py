"""How near a reconstructed shape is to the true one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray as Array
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class ShapeScores:
    """IoU in [0, 1] on a grid over [-1, 1]^3; Chamfer-L1 in units of the scene sphere's radius."""

    iou: float
    chamfer: float


def grid_iou(predicted: Bool[Array, " point"], true: Bool[Array, " point"]) -> float:
    """Intersection over union of two sets of grid points; 1 when both are empty."""
    either = int((predicted | true).sum())
    return float((predicted & true).sum() / either) if either else 1.0


def chamfer_l1(first: Float[Array, "n 3"], second: Float[Array, "m 3"]) -> float:
    """Mean of the two mean distances to the other set's nearest point (Mescheder et al. 2019, eq. for Chamfer-L1)."""
    there = cKDTree(second).query(first)[0].mean()
    back = cKDTree(first).query(second)[0].mean()
    return float((there + back) / 2)


def grid_centers(resolution: int = 64) -> Float[Array, "point 3"]:
    """Cell centers of a grid over [-1, 1]^3, x fastest."""
    axis = (np.arange(resolution) + 0.5) * 2 / resolution - 1
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)


def score_shape(
    predicted: Bool[Array, " point"],
    predicted_surface: Float[Array, "n 3"] | None,
    occupancy: Callable[[Array], Array],
    true_surface: Float[Array, "m 3"],
    resolution: int = 64,
) -> ShapeScores:
    """Scores of occupancy at `grid_centers(resolution)` and of surface points, against an exact inside test and surface.

    Without a predicted surface (an empty field) the Chamfer distance is 1: the sphere's radius, the largest fair guess.
    """
    iou = grid_iou(predicted, occupancy(grid_centers(resolution)))
    return ShapeScores(iou, 1.0 if predicted_surface is None else chamfer_l1(predicted_surface, true_surface))
