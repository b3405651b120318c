"""Points of regular grids over the cube around the scene sphere."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def cell_points(size: int, jitter: Tensor | None = None) -> Float[Tensor, "point 3"]:
    """One point in each of size^3 cells, x fastest: the center, or at `jitter` in [0, 1) [size^3, 3] across the cell."""
    axis = torch.arange(size, dtype=torch.float32)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    corner = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    return (corner + (0.5 if jitter is None else jitter)) * (2 / size) - 1
