"""Triangle meshes of fields: marching cubes on a density grid, colored by the field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from numpy import ndarray as Array
from skimage.measure import marching_cubes

from ..fields import FieldWeights, SceneField, radiance_field
from ..files import write_atomically
from ..geometry import camera_rays, cell_points, normalize_cameras
from ..rendering import RenderSettings, render_views
from ..rendering.occupancy import grid_density
from ..types import Cameras, InputError
from .glb import glb_bytes

# Density (1/unit of the scene sphere) of the surface. A trained field is fog of a few units near its surfaces: half of the
# light is lost over 0.1 units at about 7, so the surface lies where a rendered silhouette's edge is.
SURFACE_DENSITY = 7.0
FORMATS = (".glb", ".ply", ".obj")


@dataclass(frozen=True)
class ExtractedMesh:
    """In the user's units and axes; faces turn counterclockwise seen from outside."""

    vertices: Float[Array, "vertex 3"]
    faces: Int[Array, "face 3"]
    colors: Float[Array, "vertex 3"]  # in [0, 1], display encoding


def extract_mesh(scene: SceneField, resolution: int = 128, level: float = SURFACE_DENSITY) -> ExtractedMesh:
    """The surface where the field's density crosses `level`, on a grid of resolution^3 cells over the scene sphere.

    The grid is padded by one empty cell, so the surface is closed even where the object touches the sphere.

    Raises:
        InputError: the density crosses the level nowhere; the message gives its range.
    """
    if resolution < 8:
        raise InputError(f"--resolution must be at least 8, not {resolution}")
    density = grid_density(scene.weights, cell_points(resolution))[0].reshape(resolution, resolution, resolution).numpy()
    if not density.max() > level:
        raise InputError(
            f"{scene.name}: nothing to mesh, the density lies in {density.min():.3g}..{density.max():.3g} and never reaches "
            f"{level:.3g}: lower --level, or reconstruct from other views"
        )
    volume = np.pad(density, 1)
    vertices, faces, _, _ = marching_cubes(volume, level, gradient_direction="descent")
    # grid order is z, y, x; cell i of the unpadded grid has its center at (i + 0.5) * 2 / resolution - 1
    points = ((vertices[:, ::-1] - 0.5) * (2 / resolution) - 1).astype(np.float32).copy()
    colors = surface_colors(scene.weights, points)
    user = points * scene.transform.radius + np.array(scene.transform.center, dtype=np.float32)
    return ExtractedMesh(user.astype(np.float32), faces.astype(np.int64), colors)


@torch.no_grad()
def surface_colors(weights: FieldWeights, points: Float[Array, "point 3"], chunk: int = 1 << 16) -> Float[Array, "point 3"]:
    """The field's color at points of the scene sphere, seen from outside, head on, as far as the direction matters."""
    parts = []
    for part in torch.from_numpy(points).to(weights.device).split(chunk):
        inwards = -torch.nn.functional.normalize(part, dim=-1)
        parts.append(radiance_field(part[None], inwards[None], weights).color[0])
    return torch.cat(parts).cpu().numpy()


def to_trimesh(mesh: ExtractedMesh) -> trimesh.Trimesh:
    colors = np.concatenate([mesh.colors * 255, np.full((len(mesh.colors), 1), 255)], axis=1).round().astype(np.uint8)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=colors, process=False)


def save_mesh(path: Path | str, mesh: ExtractedMesh) -> None:
    """Writes .glb (unlit, colors linear as glTF has them), .ply or .obj with vertex colors, whole or not at all.

    Raises:
        InputError: another suffix, or a place that cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: unknown mesh format {path.suffix!r}: use one of {', '.join(FORMATS)}")
    if path.suffix.lower() == ".glb":
        raw = glb_bytes(mesh.vertices, mesh.faces, mesh.colors)
    else:
        data: Any = to_trimesh(mesh).export(file_type=path.suffix.lower()[1:])
        raw = data.encode() if isinstance(data, str) else data
    write_atomically(path, lambda place: place.write_bytes(raw))


def silhouette_agreement(
    scene: SceneField, mesh: ExtractedMesh, cameras: Cameras, settings: RenderSettings = RenderSettings()
) -> Float[Array, " view"]:
    """Intersection over union, view by view, of the mesh's silhouette and the field's opacity above one half.

    Args:
        cameras: batch shape [view], in the user's coordinates.
    """
    opacity = render_views(
        scene.weights, normalize_cameras(cameras, scene.transform), torch.tensor(scene.background), settings
    ).opacity.numpy()
    rays = camera_rays(cameras)
    origins, directions = rays.origins.reshape(-1, 3).numpy(), rays.directions.reshape(-1, 3).numpy()
    hit = to_trimesh(mesh).ray.intersects_any(origins, directions).reshape(opacity.shape)
    solid = opacity > 0.5
    both, either = (hit & solid).sum((1, 2)), (hit | solid).sum((1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)
