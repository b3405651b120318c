"""Reading a mesh file: its triangles, placed and scaled, and what each part of it looks like (trimesh)."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8
from numpy import ndarray as Array
from PIL import Image

from hypernerf.reading import inside, parse_json, read_bytes, shown
from hypernerf.srgb import to_display

from .images import FORMATS, MAX_PIXELS
from .png import lacks_pixels
from .source import SceneError

_log = logging.getLogger("hypernerf")

MAX_BYTES = 1 << 30  # of a mesh file, or of one that it names
MAX_ELEMENTS = 50_000_000  # triangles, or values stated by a glTF file alone: a few lines of it can claim any number
Y_UP_TO_Z_UP = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


@dataclass(frozen=True)
class Surface:
    """The looks of one geometry of the file; `first_face` is where its faces begin among all.

    Its color is the product of what it has: one for all of it, one a vertex, and a texture.
    """

    first_face: int
    faces: Int[Array, "face 3"]
    uv: Float[Array, "vertex 2"] | None
    texture: UInt8[Array, "row column 3"] | None
    vertex_colors: Float[Array, "vertex 3"] | None
    color: Float[Array, " 3"]


@dataclass(frozen=True)
class DrawableMesh:
    """A whole mesh file, centered and scaled into the sphere of radius 0.95, z up."""

    mesh: trimesh.Trimesh
    surfaces: tuple[Surface, ...]
    files: tuple[Path, ...] = ()  # that the mesh file names: materials, buffers, textures


class _OwnFiles(trimesh.resolvers.Resolver):
    """Gives trimesh the materials, buffers and textures that a mesh file in `folder` names, if they lie `within`.

    trimesh draws on without what it was not given; so `refused` keeps why, and `lacking` what was not there.
    """

    def __init__(self, folder: Path, within: Path) -> None:
        self.folder, self.within = folder.absolute(), within
        self.refused: list[str] = []
        self.named: set[Path] = set()
        self.lacking: list[str] = []

    def get(self, name: str) -> bytes:
        try:
            path = inside(self.within, self.folder / unquote(name.strip()).replace("\\", "/"), error=SceneError)
            self.named.add(path)
            if path.exists():
                return read_bytes(path, MAX_BYTES, SceneError)
        except SceneError as error:
            self.refused.append(str(error))
            raise
        self.lacking.append(str(path))
        raise SceneError(f"{path} is not there")

    def keys(self) -> list[str]:
        return [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]

    def namespaced(self, namespace: str) -> _OwnFiles:
        raise SceneError(f"{self.folder}: a mesh of several folders")

    def write(self, name: str, data: object) -> None:
        raise SceneError(f"{self.folder / name}: reading a mesh writes nothing")

    @contextmanager
    def textures(self) -> Iterator[None]:
        """While trimesh reads: Pillow uses our decoders alone, and not for images that are too large.

        It would find the decoder by the file's contents, and one of them starts a PostScript interpreter; some textures are
        decoded as they are read.
        """
        opened = Image.open

        def plain(file: BinaryIO) -> Image.Image:
            try:
                image = opened(file, formats=FORMATS)
                if not 0 < image.width * image.height <= MAX_PIXELS:
                    raise ValueError(f"{image.width}x{image.height} pixels: 1 to {MAX_PIXELS} can be read")
                if lacks_pixels(file):
                    raise ValueError("fewer pixels than it claims")
            except Exception as error:
                self.refused.append(f"a texture cannot be read as {', '.join(FORMATS)} ({error})")
                raise
            return image

        Image.open = plain  # type: ignore[assignment]
        try:
            yield
        finally:
            Image.open = opened


def load_mesh(path: Path, up: str = "y", within: Path | None = None) -> DrawableMesh:
    """Reads .glb, .gltf, .obj or .ply, node transforms applied. Files that it names must lie `within` (None: its own folder).

    Raises:
        SceneError: the file cannot be read as a mesh, is absurdly large, or holds nothing to draw.
    """
    data, files = read_bytes(path, MAX_BYTES, SceneError), _OwnFiles(path.parent, within or path.parent)
    try:
        parts = _parts(data, path.suffix[1:].lower(), files)
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
    center = used.min(0) / 2 + used.max(0) / 2
    extent = np.linalg.norm(used - center, axis=1).max()
    if not np.isfinite(used).all() or not 0 < extent < np.inf:
        raise SceneError(f"{path}: has vertices that are not finite, or all in one place")
    if files.lacking:
        _log.warning("%s: drawn without %s, which it names: put it there", path, shown(", ".join(files.lacking)))
    placed = trimesh.Trimesh((vertices - center) * (0.95 / extent), faces, process=False)
    return DrawableMesh(placed, tuple(surfaces), tuple(sorted(files.named)))


def _parts(data: bytes, kind: str, files: _OwnFiles) -> list[trimesh.Trimesh]:
    """All triangle meshes of the file, placed. Raises anything at all."""
    if kind in ("glb", "gltf"):
        _check_gltf(data[20 : 20 + int.from_bytes(data[12:16], "little")] if kind == "glb" else data)
    with files.textures():
        scene = trimesh.load_scene(io.BytesIO(data), file_type=kind, resolver=files)
    if files.refused:
        raise ValueError(files.refused[0])
    meshes = {name: mesh for name, mesh in scene.geometry.items() if isinstance(mesh, trimesh.Trimesh)}
    for name, mesh in meshes.items():
        if mesh.vertices.ndim != 2 or mesh.vertices.shape[1] != 3 or mesh.faces.ndim != 2 or mesh.faces.shape[1] != 3:
            raise ValueError(f"{name} is not made of triangles of points")
        if len(mesh.faces) and not 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices):
            raise ValueError(f"the triangles of {name} have corners that are not there")
    places = [scene.graph[node] for node in scene.graph.nodes_geometry]
    placed = [(meshes[name], where) for where, name in places if name in meshes and len(meshes[name].faces)]
    if sum(len(m.faces) for m, _ in placed) > MAX_ELEMENTS or sum(len(m.vertices) for m, _ in placed) > MAX_ELEMENTS:
        raise ValueError(f"more than {MAX_ELEMENTS} triangles or vertices, each counted as often as it is placed")
    return [_placed(mesh, where) for mesh, where in placed]


def _placed(mesh: trimesh.Trimesh, where: Float[Array, "4 4"]) -> trimesh.Trimesh:
    """Not by trimesh's own `dump`, whose copies of a material lack the vertices' colors."""
    vertices = trimesh.transformations.transform_points(mesh.vertices, where)
    return trimesh.Trimesh(vertices, mesh.faces, visual=mesh.visual, process=False)


def _check_gltf(text: bytes) -> None:
    """Raises `ValueError` when the values that the file states without having them are too many."""
    header = parse_json(text.decode("utf-8-sig"))
    counts = [accessor["count"] for accessor in header.get("accessors", [])]
    if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) > MAX_ELEMENTS:
        raise ValueError(f"its accessors claim more than {MAX_ELEMENTS} values, or are no counts")


def _surface(part: trimesh.Trimesh, first_face: int) -> Surface:
    faces, visual = np.asarray(part.faces), part.visual
    white, gray = np.ones(3, dtype=np.float32), np.full(3, 0.7, dtype=np.float32)
    if visual is None or isinstance(visual, trimesh.visual.ColorVisuals):
        if visual is None or not visual.kind:
            return Surface(first_face, faces, None, None, None, gray)
        return Surface(first_face, faces, None, None, _vertex_colors(visual.vertex_colors, part), white)
    material, uv = visual.material, visual.uv
    beside = visual.vertex_attributes.get("color")  # glTF alone: a vertex's color, linear, times the material's
    colors = None if beside is None else to_display(_vertex_colors(beside, part))
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    if factor is None and not isinstance(material, trimesh.visual.material.PBRMaterial):
        factor = getattr(material, "diffuse", None) if image is None else None
    color = white if factor is None else np.asarray(factor, dtype=np.float32)[:3] / (255 if np.asarray(factor).max() > 1 else 1)
    if color.shape != (3,) or not np.isfinite(color).all():
        raise ValueError(f"a material's color is {factor}")
    if image is None or uv is None:
        return Surface(first_face, faces, None, None, colors, color.astype(np.float32))
    texture = np.asarray(image.convert("RGB"))
    return Surface(first_face, faces, _of_each(np.asarray(uv, dtype=np.float32)[:, :2], part, 2), texture, colors, color)


def _vertex_colors(values: Array, part: trimesh.Trimesh) -> Float[Array, "vertex 3"]:
    """From 8 or 16 bits, or from 0 to 1."""
    colors = np.asarray(values)
    whole = np.iinfo(colors.dtype).max if np.issubdtype(colors.dtype, np.integer) else 1
    return _of_each(np.clip(colors[:, :3].astype(np.float32) / whole, 0, 1), part, 3)


def _of_each(values: Array, part: trimesh.Trimesh, columns: int) -> Array:
    """`values` themselves. Raises `ValueError` unless they are a row of finite numbers for each vertex."""
    if values.shape != (len(part.vertices), columns) or not np.isfinite(values).all():
        raise ValueError(f"{values.shape} colors or texture coordinates for {len(part.vertices)} vertices, or not finite")
    return values
