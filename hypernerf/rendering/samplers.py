"""Where along a ray to ask the field."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry import intersect_sphere
from ..ops import BINS, march
from ..ops.march import steps
from ..types import RayBundle, RaySamples
from .occupancy import OccupancyGrid


def sample_occupied(
    rays: RayBundle,
    samples: int,
    occupancy: OccupancyGrid | None = None,
    jitter: Float[Tensor, "scene ray sample"] | None = None,
    bins: int = BINS,
    backend: str = "auto",
) -> RaySamples:
    """`samples` points a ray, spread evenly over the part of it that is inside the unit sphere and not known to be empty.

    Args:
        rays: batch shape [scene, ray].
        occupancy: grids, one a scene or one for all; None: all is occupied.
        jitter, bins, backend: as in `march`.
    """
    if occupancy is not None:
        return march(rays, occupancy.cells, samples, jitter, bins, backend)
    near, far = intersect_sphere(rays)
    distances = near[..., None] + (far - near)[..., None] * steps(samples, jitter, near)
    return RaySamples(*torch.broadcast_tensors(distances, (far - near)[..., None] / samples))
