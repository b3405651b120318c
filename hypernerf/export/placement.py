"""Where a mesh stands in the user's world: its origin, its up axis, its scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from scipy.spatial.transform import Rotation

from ..types import InputError
from .mesh import ExtractedMesh
from .textured_mesh import TexturedMesh

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
Mesh = TypeVar("Mesh", ExtractedMesh, TexturedMesh)


@dataclass(frozen=True)
class Placement:
    """`origin` is moved to (0, 0, 0), then the scene's up axis is turned onto `up`, then lengths are multiplied by `scale`.

    The default leaves a mesh in the units and axes of the scene's own cameras.
    """

    up: str | None = None  # x, y, z; None: as it is
    scale: float = 1.0
    origin: str | tuple[float, float, float] | None = None  # center or base of the bounding box, a point; None: as it is

    def __post_init__(self) -> None:
        if self.up is not None and self.up not in AXES:
            raise InputError(f"--up must be one of {', '.join(AXES)}, not {self.up}")
        if not 0 < self.scale < float("inf"):
            raise InputError(f"--scale must be positive, not {self.scale}")
        if isinstance(self.origin, str) and self.origin not in ("center", "base"):
            raise InputError(f"--origin must be center, base or three numbers, not {self.origin}")

    def matrix(self, vertices: Float[Array, "vertex 3"], scene_up: Sequence[float]) -> Float[Array, "4 4"]:
        """The similarity that places a mesh of `vertices` in the scene's axes, `scene_up` among them."""
        result = np.eye(4)
        result[:3, :3] *= self.scale
        if self.up is not None:
            # the shortest rotation: from z up to y up it is (x, y, z) -> (x, z, -y)
            result[:3, :3] = self.scale * Rotation.align_vectors([AXES[self.up]], [scene_up])[0].as_matrix()
        result[:3, 3] = -result[:3, :3] @ _origin(vertices, np.asarray(scene_up, dtype=np.float64), self.origin)
        return result


def _origin(vertices: Array, up: Array, origin: str | tuple[float, float, float] | None) -> Float[Array, " 3"]:
    if origin is None:
        return np.zeros(3)
    if not isinstance(origin, str):
        return np.array(origin)
    center = (vertices.min(0) + vertices.max(0)).astype(np.float64) / 2
    if origin == "center":
        return center
    up = up / np.linalg.norm(up)
    return center + ((vertices @ up).min() - center @ up) * up  # the center's shadow on the ground


def moved(mesh: Mesh, matrix: Float[Array, "4 4"]) -> Mesh:
    """`mesh` under a similarity."""
    vertices = (mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
    if isinstance(mesh, ExtractedMesh):
        return replace(mesh, vertices=vertices)
    turn = matrix[:3, :3] / np.cbrt(np.linalg.det(matrix[:3, :3]))
    return replace(mesh, vertices=vertices, normals=(mesh.normals @ turn.T).astype(np.float32))
