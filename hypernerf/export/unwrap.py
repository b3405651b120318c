"""A mesh cut open and laid flat: where on a texture each of its triangles lies, and what each texel is a picture of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array

from ..types import InputError


@dataclass(frozen=True)
class Unwrapped:
    """A mesh whose vertices are doubled along seams. `uvs` in [0, 1]: u to the right, v upwards from the texture's lower edge."""

    source: Int[Array, " vertex"]  # of each vertex, the one it was before
    faces: Int[Array, "face 3"]
    uvs: Float[Array, "vertex 2"]


@dataclass(frozen=True)
class Texels:
    """Texels whose centers lie in a triangle: their places in the texture, and where in which triangle they lie."""

    rows: Int[Array, " texel"]  # from the upper edge
    columns: Int[Array, " texel"]
    faces: Int[Array, " texel"]
    weights: Float[Array, "texel 3"]  # barycentric


def unwrap(vertices: Float[Array, "vertex 3"], faces: Int[Array, "face 3"], size: int) -> Unwrapped:
    """One atlas for a texture of `size` x `size`, with some texels between charts.

    Raises:
        InputError: xatlas is not installed.
    """
    try:
        import xatlas
    except ImportError:
        raise InputError("--texture needs xatlas: pip install 'hypernerf[texture]'") from None
    corners = vertices[faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    packing = xatlas.PackOptions()
    packing.padding = 3
    packing.texels_per_unit = size * np.sqrt(0.6 / area)  # charts fill about 0.6 of an atlas; its true size may differ a little
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices.astype(np.float32), faces.astype(np.uint32))
    atlas.generate(xatlas.ChartOptions(), packing)
    source, unwrapped, uvs = atlas[0]
    return Unwrapped(source.astype(np.int64), unwrapped.astype(np.int64), uvs.astype(np.float32))


def covered_texels(mesh: Unwrapped, size: int) -> Texels:
    """The texels that triangles cover; a texel's center is at ((column + 0.5) / size, 1 - (row + 0.5) / size).

    Every (triangle, texel of its bounding box) pair is tried, a million at a time.
    """
    corners = mesh.uvs[mesh.faces].astype(np.float64) * size - 0.5  # in texels; v upwards
    low = np.clip(np.ceil(corners.min(1)), 0, size - 1).astype(np.int64)
    high = np.clip(np.floor(corners.max(1)), -1, size - 1).astype(np.int64)
    extent = np.maximum(high - low + 1, 0)
    counts = extent.prod(1)
    parts = []
    for part in np.array_split(np.arange(len(counts)), max(1, int(counts.sum() >> 20))):
        face = np.repeat(part, counts[part])
        step = np.arange(len(face)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
        x = low[face, 0] + step % np.maximum(extent[face, 0], 1)
        y = low[face, 1] + step // np.maximum(extent[face, 0], 1)
        weights = _barycentric(corners[face], np.stack([x, y], axis=1))
        inside = (weights >= 0).all(1)
        parts.append((size - 1 - y[inside], x[inside], face[inside], weights[inside]))
    return Texels(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _barycentric(corners: Float[Array, "n 3 2"], points: Float[Array, "n 2"]) -> Float[Array, "n 3"]:
    """Each corner's share of a point: the area of the triangle it faces; negative outside, and everywhere if degenerate."""
    a, b, c = (corners[:, i] - points for i in range(3))
    parts = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
    area = parts.sum(1, keepdims=True)
    return np.where(area != 0, parts / np.where(area != 0, area, 1.0), -1.0)


def _cross(a: Float[Array, "n 2"], b: Float[Array, "n 2"]) -> Float[Array, " n"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
