"""Meshes of few triangles: edges are collapsed where the surface changes least."""

from __future__ import annotations

import numpy as np

from ..fields import SceneField
from ..types import InputError
from .mesh import ExtractedMesh, surface_colors


def decimated(scene: SceneField, mesh: ExtractedMesh, triangles: int) -> ExtractedMesh:
    """`mesh`, as extracted from `scene`, with at most `triangles` faces, by quadric error (Garland and Heckbert 1997).

    Raises:
        InputError: fewer than 100 triangles are asked for, or fast-simplification is not installed.
    """
    if triangles < 100:
        raise InputError(f"--triangles must be at least 100, not {triangles}")
    if len(mesh.faces) <= triangles:
        return mesh
    try:
        import fast_simplification
    except ImportError:
        raise InputError("fewer triangles need fast-simplification: pip install 'hypernerf[texture]'") from None
    center, radius = np.array(scene.transform.center, dtype=np.float32), np.float32(scene.transform.radius)
    points = ((mesh.vertices - center) / radius).astype(np.float32)  # errors are compared with thresholds of this scale
    kept, faces = fast_simplification.simplify(points, mesh.faces.astype(np.int32), target_count=triangles)
    points = kept.astype(np.float32)
    return ExtractedMesh(points * radius + center, faces.astype(np.int64), surface_colors(scene.weights, points))
