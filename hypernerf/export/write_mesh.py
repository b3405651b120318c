"""From a scene to a mesh file in one call: extracted, decimated, placed, textured, written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from numpy import ndarray as Array

from ..fields import SceneField
from ..types import InputError
from .decimate import decimated
from .mesh import FORMATS, SURFACE_DENSITY, extract_mesh, save_mesh
from .placement import Placement, moved
from .texture import texture_mesh
from .textured_mesh import TEXTURED_FORMATS, save_textured_mesh

TEXTURED_TRIANGLES = 20_000


@dataclass(frozen=True)
class MeshSettings:
    """How a field becomes a mesh. The defaults leave all triangles and color their corners."""

    resolution: int = 128  # grid cells along a side
    level: float = SURFACE_DENSITY  # density of the surface, per radius of the scene sphere
    triangles: int | None = None  # at most so many; None: 20 000 with a texture, else all
    texture: bool = False  # colors in a picture instead of at vertices; needs the extra `texture`
    texture_size: int = 512  # pixels along its side
    placement: Placement = field(default_factory=Placement)  # the default: units, axes and origin of the scene's own cameras

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= 1024:
            raise InputError(f"--resolution must be between 8 and 1024, not {self.resolution}")
        if not self.level > 0:
            raise InputError(f"--level must be positive, not {self.level}")


@dataclass(frozen=True)
class WrittenMesh:
    """What a file holds, and the similarity from the user's coordinates to where its mesh was placed."""

    path: Path
    vertices: int
    faces: int
    matrix: Float[Array, "4 4"]


def write_mesh(
    path: Path | str, scene: SceneField, settings: MeshSettings = MeshSettings(), track: Callable[[range], Any] = iter
) -> WrittenMesh:
    """Writes FILE.glb, .ply or .obj (with a texture: .glb, or .obj beside its .mtl and .png), each file whole or not at all.

    `track` is called with the range of baking steps and yields them.

    Raises:
        InputError: another suffix, a place that cannot be written to, a field that is nowhere dense enough (the message
            gives its range), or the extra `texture` is not installed.
    """
    path = Path(path)
    check_mesh_format(path, settings.texture)
    mesh = extract_mesh(scene, settings.resolution, settings.level)
    count = TEXTURED_TRIANGLES if settings.triangles is None and settings.texture else settings.triangles
    if count is not None:
        mesh = decimated(scene, mesh, count)
    matrix = settings.placement.matrix(mesh.vertices, scene.up)
    if settings.texture:
        save_textured_mesh(path, moved(texture_mesh(scene, mesh, settings.texture_size, track), matrix))
    else:
        save_mesh(path, moved(mesh, matrix))
    return WrittenMesh(path, len(mesh.vertices), len(mesh.faces), matrix)


def check_mesh_format(path: Path, texture: bool) -> None:
    """Raises `InputError` for a suffix that no mesh, or none with a texture, is written to."""
    formats = TEXTURED_FORMATS if texture else FORMATS
    if path.suffix.lower() not in formats:
        what = "mesh format with a texture" if texture else "mesh format"
        raise InputError(f"{path}: unknown {what} {path.suffix!r}: use one of {', '.join(formats)}")
