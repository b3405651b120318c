"""Drawing a mesh: textured, lit, anti-aliased, by ray casting (trimesh and embree)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from numpy import ndarray as Array

from hypernerf.geometry import camera_rays
from hypernerf.types import Cameras

from .mesh_file import DrawableMesh, Surface
from .shape import AMBIENT, LIGHT


@dataclass(frozen=True)
class DrawnViews:
    """`colors` are not multiplied by `coverage`; depth is 0 where less than half of a pixel is covered."""

    colors: Float[Array, "view height width 3"]
    coverage: Float[Array, "view height width"]
    depths: Float[Array, "view height width"]


def draw_views(drawable: DrawableMesh, cameras: Cameras, supersample: int = 3) -> DrawnViews:
    """All views [view] of the mesh; each pixel is the mean of supersample^2 rays. Depth is exact, of the nearest ray's hit."""
    fine = cameras.resized(cameras.height * supersample, cameras.width * supersample)
    colors, coverage, depths = [], [], []
    for view in range(len(cameras)):
        rays = camera_rays(fine[view])
        color, hit, depth = _draw(drawable, rays.origins.reshape(-1, 3).numpy(), rays.directions.reshape(-1, 3).numpy())
        blocks = (cameras.height, supersample, cameras.width, supersample)
        hits = hit.reshape(blocks).sum((1, 3))
        color = color.reshape(*blocks, 3).sum((1, 3)) / np.maximum(hits, 1)[..., None]
        nearest = np.where(hit, depth, np.inf).reshape(blocks).min((1, 3))
        share = hits / supersample**2
        colors.append(color)
        coverage.append(share)
        depths.append(np.where(share >= 0.5, nearest, 0))
    return DrawnViews(*(np.stack(parts).astype(np.float32) for parts in (colors, coverage, depths)))


def _draw(drawable: DrawableMesh, origins: Array, directions: Array) -> tuple[Array, Array, Array]:
    """(color, hit, depth) of each ray."""
    mesh = drawable.mesh
    face = mesh.ray.intersects_first(origins, directions)
    hit = np.flatnonzero(face >= 0)
    face = face[hit]
    triangles = mesh.triangles[face]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    o, d = origins[hit].astype(np.float64), directions[hit].astype(np.float64)
    facing = (normals * d).sum(1)
    distance = ((triangles[:, 0] - o) * normals).sum(1) / np.where(np.abs(facing) < 1e-9, 1e-9, facing)
    points = o + distance[:, None] * d
    corners = np.clip(trimesh.triangles.points_to_barycentric(triangles, points), 0, 1)
    albedo = np.zeros((len(hit), 3), dtype=np.float32)
    for surface in drawable.surfaces:
        mine = np.flatnonzero((face >= surface.first_face) & (face < surface.first_face + len(surface.faces)))
        albedo[mine] = _albedo(surface, face[mine] - surface.first_face, corners[mine].astype(np.float32))
    outwards = normals * -np.sign(facing)[:, None]  # both sides of a face are drawn
    light = AMBIENT + (1 - AMBIENT) * np.maximum(outwards @ LIGHT, 0)
    color = np.zeros((len(origins), 3), dtype=np.float32)
    color[hit] = np.clip(albedo * light[:, None], 0, 1)
    mask, depth = np.zeros(len(origins), dtype=bool), np.zeros(len(origins))
    mask[hit], depth[hit] = True, distance
    return color, mask, depth


def _albedo(surface: Surface, face: Array, corners: Array) -> Array:
    at = surface.faces[face]
    color = np.broadcast_to(surface.color, (len(face), 3))
    if surface.vertex_colors is not None:
        color = color * np.einsum("pk,pkc->pc", corners, surface.vertex_colors[at])
    if surface.texture is None or surface.uv is None:
        return color
    u, v = np.einsum("pk,pkc->cp", corners, surface.uv[at])
    rows, columns = surface.texture.shape[:2]
    # nearest texel of a repeating texture; v runs upwards
    column = np.floor((u % 1.0) * columns).astype(np.int64) % columns
    row = np.floor((1.0 - v % 1.0) * rows).astype(np.int64) % rows
    return surface.texture[row, column].astype(np.float32) / 255 * color


def to_pixels(drawn: DrawnViews) -> torch.Tensor:
    """8-bit RGBA [view, height, width, 4], color not multiplied by alpha."""
    rgba = np.concatenate([drawn.colors, drawn.coverage[..., None]], axis=-1)
    return torch.from_numpy((rgba * 255 + 0.5).astype(np.uint8))
