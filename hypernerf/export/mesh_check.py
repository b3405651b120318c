"""How much a mesh file looks like its field: the file, read back, drawn by another renderer than the field's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from numpy import ndarray as Array

from ..fields import SceneField
from ..geometry import camera_rays, normalize_cameras
from ..rendering import RenderSettings, render_views
from ..srgb import to_display
from ..types import Cameras

SUPERSAMPLE = 3  # squared: rays a pixel


def mesh_psnr(
    path: Path, scene: SceneField, cameras: Cameras, matrix: Float[Array, "4 4"], settings: RenderSettings
) -> Float[Array, " view"]:
    """PSNR (dB) of the file's mesh, unlit, over the scene's background, against the field, view by view.

    Args:
        cameras: batch shape [view], in the scene's own coordinates.
        matrix: where the file's mesh was moved to from there (`Placement.matrix`).
    """
    (mesh,) = trimesh.load_scene(path, process=False).geometry.values()  # `load_mesh` loses colors that stand beside a material
    mesh.apply_transform(np.linalg.inv(matrix))
    truth = render_views(scene.weights, normalize_cameras(cameras, scene.transform), torch.tensor(scene.background), settings)
    drawn = np.stack([draw_unlit(mesh, cameras[number], scene.background) for number in range(len(cameras))])
    return -10 * np.log10(np.maximum(((drawn - truth.color.numpy()) ** 2).mean((1, 2, 3)), 1e-10))


def draw_unlit(mesh: trimesh.Trimesh, camera: Cameras, background: tuple[float, float, float]) -> Float[Array, "height width 3"]:
    """A mesh's own colors, from its texture (bilinear) or its vertices, by ray casting."""
    fine = camera.resized(camera.height * SUPERSAMPLE, camera.width * SUPERSAMPLE)
    rays = camera_rays(fine)
    places, ray, face = mesh.ray.intersects_location(
        rays.origins.reshape(-1, 3).numpy(), rays.directions.reshape(-1, 3).numpy(), multiple_hits=False
    )
    corners = trimesh.triangles.points_to_barycentric(mesh.triangles[face], places)
    colors = np.tile(np.array(background), (fine.height * fine.width, 1))
    colors[ray] = _colors_at(mesh, face, corners)
    return colors.reshape(camera.height, SUPERSAMPLE, camera.width, SUPERSAMPLE, 3).mean((1, 3))


def _colors_at(mesh: trimesh.Trimesh, face: Array, corners: Array) -> Float[Array, "hit 3"]:
    vertices = mesh.faces[face]
    if isinstance(mesh.visual, trimesh.visual.ColorVisuals):
        return np.einsum("hc,hck->hk", corners, mesh.visual.vertex_colors[vertices, :3] / 255.0)
    assert isinstance(mesh.visual, trimesh.visual.TextureVisuals)
    if mesh.visual.uv is None:  # a GLB's vertex colors beside its material: linear
        light = np.asarray(mesh.visual.vertex_attributes["color"], dtype=np.float64)[:, :3]
        return np.einsum("hc,hck->hk", corners, to_display(light)[vertices])
    material = mesh.visual.material
    image = getattr(material, "baseColorTexture", None) or material.image
    texture = np.asarray(image.convert("RGB")) / 255.0
    rows, columns = texture.shape[:2]
    u, v = np.einsum("hc,hck->kh", corners, mesh.visual.uv[vertices])
    x, y = np.clip(u * columns - 0.5, 0, columns - 1), np.clip((1 - v) * rows - 0.5, 0, rows - 1)
    left, upper = np.minimum(x.astype(int), columns - 2), np.minimum(y.astype(int), rows - 2)
    across, down = (x - left)[:, None], (y - upper)[:, None]
    above = texture[upper, left] * (1 - across) + texture[upper, left + 1] * across
    below = texture[upper + 1, left] * (1 - across) + texture[upper + 1, left + 1] * across
    return above * (1 - down) + below * down
