"""Where along a ray to ask the field."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry import intersect_sphere, ray_points
from ..types import RayBundle, RaySamples
from .occupancy import OccupancyGrid

BINS = 48  # parts of a ray that are occupied or empty as a whole


def sample_occupied(
    rays: RayBundle,
    samples: int,
    occupancy: OccupancyGrid | None = None,
    jitter: Float[Tensor, "scene ray sample"] | None = None,
    bins: int = BINS,
) -> RaySamples:
    """`samples` points a ray, spread evenly over the part of it that is inside the unit sphere and not known to be empty.

    The chord is cut into `bins`; those whose center lies in an empty cell are left out, the rest is laid end to end and cut
    into `samples` equal lengths, with a point in each: at its middle, or at `jitter` in [0, 1) across it (stratified
    sampling). All lengths of a ray are equal and sum to the ray's occupied length, which may be 0.

    Args:
        rays: batch shape [scene, ray].
        occupancy: grids, one a scene or one for all; None: all is occupied.
    """
    near, far = intersect_sphere(rays)
    if jitter is None:
        jitter = torch.full((1,), 0.5, device=near.device)
    steps = (torch.arange(samples, device=near.device) + jitter) / samples
    if occupancy is None:
        distances = near[..., None] + (far - near)[..., None] * steps
        return RaySamples(*torch.broadcast_tensors(distances, (far - near)[..., None] / samples))
    width = (far - near) / bins
    middles = near[..., None] + width[..., None] * (torch.arange(bins, device=near.device) + 0.5)
    full = occupancy.lookup(ray_points(rays, middles)).float()
    passed = torch.cumsum(full, dim=-1)  # occupied bins up to the end of each
    total = passed[..., -1:]
    wanted = steps * total
    index = torch.searchsorted(passed, wanted.expand(*passed.shape[:-1], samples).contiguous(), right=True).clamp_max(bins - 1)
    into = wanted - (torch.gather(passed, -1, index) - torch.gather(full, -1, index))
    distances = near[..., None] + width[..., None] * (index + into)
    lengths = (total * width[..., None] / samples).expand_as(distances)
    return RaySamples(distances, lengths)
