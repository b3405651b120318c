"""Drawing a mesh file: textured, lit, anti-aliased, by ray casting (trimesh and embree)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from numpy import ndarray as Array

from hypernerf.geometry import camera_rays
from hypernerf.reading import inside, read_bytes
from hypernerf.types import Cameras

from .images import FORMATS, MAX_PIXELS
from .shape import AMBIENT, LIGHT
from .source import SceneError

MAX_BYTES = 1 << 30  # of a mesh file, or of one that it names
Y_UP_TO_Z_UP = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


@dataclass(frozen=True)
class _Surface:
    """The looks of one geometry of the file; `first_face` is where its faces begin among all."""

    first_face: int
    faces: Int[Array, "face 3"]
    uv: Float[Array, "vertex 2"] | None
    texture: Float[Array, "row column 3"] | None
    vertex_colors: Float[Array, "vertex 3"] | None
    color: Float[Array, 3]


@dataclass(frozen=True)
class DrawableMesh:
    """A whole mesh file, centered and scaled into the sphere of radius 0.95, z up."""

    mesh: trimesh.Trimesh
    surfaces: tuple[_Surface, ...]


class _OwnFolder(trimesh.resolvers.Resolver):
    """Gives trimesh the materials, buffers and textures that a mesh file names, if they lie in the file's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> bytes:
        return read_bytes(inside(self.folder, unquote(name.strip()), error=SceneError), MAX_BYTES, SceneError)

    def keys(self) -> list[str]:
        return [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]

    def namespaced(self, namespace: str) -> _OwnFolder:
        return _OwnFolder(inside(self.folder, namespace, error=SceneError))

    def write(self, name: str, data: object) -> None:
        raise SceneError(f"{self.folder / name}: reading a mesh writes nothing")


def load_mesh(path: Path, up: str = "y") -> DrawableMesh:
    """Reads .glb, .gltf, .obj or .ply, node transforms applied. Raises `SceneError` when there is nothing to draw."""
    data = read_bytes(path, MAX_BYTES, SceneError)
    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type=path.suffix[1:].lower(), resolver=_OwnFolder(path.parent))
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
        offsets = np.cumsum([0, *(len(part.faces) for part in parts)])[:-1]
        surfaces = [_surface(part, int(first)) for part, first in zip(parts, offsets, strict=True)]
    except Exception as error:  # trimesh's readers raise whatever the file makes them stumble over
        raise SceneError(f"{path}: cannot be read as a mesh ({type(error).__name__}: {error})") from None
    if not parts:
        raise SceneError(f"{path}: holds no triangles")
    vertices = np.concatenate([np.asarray(part.vertices) for part in parts])
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])[:-1]
    faces = np.concatenate([np.asarray(part.faces) + offset for part, offset in zip(parts, offsets, strict=True)])
    if up == "y":
        vertices = vertices @ Y_UP_TO_Z_UP[:3, :3].T
    used = vertices[np.unique(faces)]
    center = (used.min(0) + used.max(0)) / 2
    extent = np.linalg.norm(used - center, axis=1).max()
    if not np.isfinite(used).all() or not extent > 0:
        raise SceneError(f"{path}: has vertices that are not finite, or all in one place")
    return DrawableMesh(trimesh.Trimesh((vertices - center) * (0.95 / extent), faces, process=False), tuple(surfaces))


def _surface(part: trimesh.Trimesh, first_face: int) -> _Surface:
    faces, visual = np.asarray(part.faces), part.visual
    white = np.ones(3, dtype=np.float32)
    if isinstance(visual, trimesh.visual.ColorVisuals):
        colors = np.asarray(visual.vertex_colors)[:, :3].astype(np.float32) / 255 if visual.kind else None
        return _Surface(first_face, faces, None, None, colors, np.full(3, 0.7, dtype=np.float32) if colors is None else white)
    if visual is None:
        return _Surface(first_face, faces, None, None, None, np.full(3, 0.7, dtype=np.float32))
    material, uv = visual.material, visual.uv
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    if factor is None and not isinstance(material, trimesh.visual.material.PBRMaterial):
        factor = getattr(material, "diffuse", None) if image is None else None
    color = white if factor is None else np.asarray(factor, dtype=np.float32)[:3] / (255 if np.asarray(factor).max() > 1 else 1)
    if image is None or uv is None:
        return _Surface(first_face, faces, None, None, None, color.astype(np.float32))
    if image.width * image.height > MAX_PIXELS or image.format not in (*FORMATS, None):
        raise SceneError(f"a texture of {image.width}x{image.height} pixels, format {image.format}")
    texture = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return _Surface(first_face, faces, np.asarray(uv, dtype=np.float32), texture, None, color.astype(np.float32))


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


def _albedo(surface: _Surface, face: Array, corners: Array) -> Array:
    at = surface.faces[face]
    if surface.vertex_colors is not None:
        return np.einsum("pk,pkc->pc", corners, surface.vertex_colors[at])
    if surface.texture is None or surface.uv is None:
        return np.broadcast_to(surface.color, (len(face), 3))
    u, v = np.einsum("pk,pkc->cp", corners, surface.uv[at])
    rows, columns = surface.texture.shape[:2]
    # nearest texel of a repeating texture; v runs upwards
    column = np.floor((u % 1.0) * columns).astype(np.int64) % columns
    row = np.floor((1.0 - v % 1.0) * rows).astype(np.int64) % rows
    return surface.texture[row, column] * surface.color


def to_pixels(drawn: DrawnViews) -> torch.Tensor:
    """8-bit RGBA [view, height, width, 4], color not multiplied by alpha."""
    rgba = np.concatenate([drawn.colors, drawn.coverage[..., None]], axis=-1)
    return torch.from_numpy((rgba * 255 + 0.5).astype(np.uint8))
