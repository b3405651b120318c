"""The visual hull of a training scene: all that its silhouettes allow (Laurentini 1994), and points to learn it from.

Early in training a renderer's gradient says little about where things are: every scene is the same fog. The masks of a
training scene's views say it at once, and for a point, not for a ray: outside of one silhouette is outside of the object.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray as Array
from torch import Tensor

from ..geometry import cell_points, project
from ..types import Cameras

SIZE = 64  # cells along a side over [-1, 1]^3
# A mask's bilinear value that still counts as inside. Chairs of 24 views at 64 x 64 keep 98% of their inside at 0.5, and 76% of
# the hull is chair; at 0.3 it is 62%, and at 0.7 a sixth of the chair is lost.
INSIDE = 0.5
NEAR = 0.06  # deviation of the points drawn near the hull


def visual_hull(masks: UInt8[Tensor, "view height width"], cameras: Cameras, size: int = SIZE) -> Bool[Tensor, "size size size"]:
    """Cells [z, y, x] in the unit sphere whose center is inside the silhouette of every view that could see it.

    A view in whose image a center does not lie has no say on it. Views carve one after the other, each only what is left.
    """
    points = cell_points(size)
    left = torch.nonzero((points * points).sum(-1) <= 1.0)[:, 0]
    for view in range(len(cameras)):
        where = project(points[left], cameras[view])
        image = masks[view][None, None].float()
        seen = torch.nn.functional.grid_sample(image, (where * 2 - 1)[None, None], padding_mode="border", align_corners=False)
        elsewhere = ((where < 0) | (where > 1)).any(-1)
        left = left[(seen[0, 0, 0] > INSIDE * 255) | elsewhere]
    hull = torch.zeros(size**3, dtype=torch.bool)
    hull[left] = True
    return hull.reshape(size, size, size)


def pack_hull(hull: Bool[Tensor, "size size size"]) -> UInt8[Tensor, " bytes"]:
    """Eight cells a byte, for keeping: 32 KiB a scene."""
    return torch.from_numpy(np.packbits(hull.numpy()))


def draw_hull_points(
    packed: UInt8[Tensor, " bytes"], count: int, rng: np.random.Generator
) -> tuple[Float[Tensor, "count 3"], Float[Tensor, " count"]]:
    """Points in the unit sphere, half of them near the hull, and whether each is inside (1) or outside (0).

    Bits are read where they lie: unpacking a hull of 64^3 cells takes longer than all the rest.
    """
    octets = packed.numpy()
    size = round((8 * len(octets)) ** (1 / 3))
    points = rng.normal(size=(count, 3))
    points *= (rng.random((count, 1)) ** (1 / 3)) / np.linalg.norm(points, axis=1, keepdims=True)  # uniform in the ball
    near = _draw_cells(octets, count // 2, rng)
    centers = np.stack([near % size, near // size % size, near // size**2], axis=1) * (2 / size) + (1 / size - 1)
    points[: len(near)] = centers + rng.normal(size=centers.shape) * NEAR
    points /= np.maximum(1.0, np.linalg.norm(points, axis=1, keepdims=True))
    x, y, z = np.clip(((points + 1) * (size / 2)).astype(np.int64), 0, size - 1).T
    cell = (z * size + y) * size + x
    inside = octets[cell >> 3] >> (7 - (cell & 7)) & 1
    return torch.from_numpy(points.astype(np.float32)), torch.from_numpy(inside.astype(np.float32))


def _draw_cells(octets: UInt8[Array, " bytes"], count: int, rng: np.random.Generator) -> Int[Array, " count"]:
    """Flat indices of cells of the hull, each as likely as any other; none if the hull is empty."""
    passed = np.cumsum(np.bitwise_count(octets), dtype=np.int64)  # cells of the hull up to the end of each octet
    if not passed[-1]:
        return np.zeros(0, dtype=np.int64)
    rank = rng.integers(0, passed[-1], count)
    octet = np.searchsorted(passed, rank, side="right")
    bits = np.unpackbits(octets[octet, None], axis=1)
    left = passed[octet] - rank  # this cell is that many from the octet's last one
    behind = np.cumsum(bits[:, ::-1], axis=1)[:, ::-1]  # cells from each bit to the octet's end
    return octet * 8 + np.argmax((behind == left[:, None]) & (bits == 1), axis=1)
