"""Where along a ray to ask the field."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry import intersect_sphere
from ..types import RayBundle, RaySamples
from .occupancy import OccupancyGrid

BINS = 48  # parts of a ray that are occupied or empty as a whole


@dataclass(frozen=True)
class RayBins:
    """Rays' chords through the unit sphere, each cut into bins of equal `width` from `near` on, and which of them are `full`."""

    near: Float[Tensor, "*batch"]
    width: Float[Tensor, "*batch"]
    full: Bool[Tensor, "*batch bin"]

    def __getitem__(self, index) -> RayBins:
        return RayBins(self.near[index], self.width[index], self.full[index])

    @property
    def length(self) -> Float[Tensor, "*batch"]:
        """Of a ray's full bins together."""
        return self.full.sum(-1) * self.width

    def spread(self, samples: int, jitter: Float[Tensor, "*batch sample"] | None = None) -> RaySamples:
        """`samples` points over the full bins laid end to end; see `sample_occupied`."""
        full = self.full.to(self.near.dtype)
        passed = torch.cumsum(full, dim=-1)  # full bins up to the end of each
        total = passed[..., -1:]
        wanted = _steps(samples, jitter, self.near) * total
        index = torch.searchsorted(passed, wanted.expand(*passed.shape[:-1], samples).contiguous(), right=True)
        index = index.clamp_max_(full.shape[-1] - 1)
        into = wanted - (torch.gather(passed, -1, index) - torch.gather(full, -1, index))
        distances = self.near[..., None] + self.width[..., None] * (index + into)
        return RaySamples(distances, (total * self.width[..., None] / samples).expand_as(distances))


def occupied_bins(rays: RayBundle, occupancy: OccupancyGrid, bins: int = BINS) -> RayBins:
    """Which bins' centers lie in occupied cells, of rays of batch shape [scene, ray]."""
    near, far = intersect_sphere(rays)
    width = (far - near) / bins
    middles = near[..., None] + width[..., None] * (torch.arange(bins, device=near.device) + 0.5)
    return RayBins(near, width, occupancy.along(rays, middles))


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
    if occupancy is not None:
        return occupied_bins(rays, occupancy, bins).spread(samples, jitter)
    near, far = intersect_sphere(rays)
    distances = near[..., None] + (far - near)[..., None] * _steps(samples, jitter, near)
    return RaySamples(*torch.broadcast_tensors(distances, (far - near)[..., None] / samples))


def _steps(samples: int, jitter: Tensor | None, like: Tensor) -> Tensor:
    """Where in [0, 1) each of `samples` equal lengths has its point."""
    if jitter is None:
        jitter = torch.full((1,), 0.5, device=like.device)
    return (torch.arange(samples, device=like.device) + jitter) / samples
