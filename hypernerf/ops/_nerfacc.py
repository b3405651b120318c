"""Samples of rays through occupancy grids of many scenes, as many as each ray needs, by nerfacc. Not yet run on a GPU.

Li et al. 2023. A batch's samples lie one after the other ("packed"), in the order of its rays, scene by scene.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class PackedSamples:
    """Parts of rays, from `starts` to `ends`; `rays` are flat numbers, scene * rays a scene + ray, in rising order."""

    starts: Float[Tensor, " sample"]
    ends: Float[Tensor, " sample"]
    rays: Int[Tensor, " sample"]


def missing(device: torch.device) -> str | None:
    """Why nerfacc cannot run on `device`; None if it can."""
    if device.type != "cuda":
        return f"nerfacc's grids are traversed on a GPU, not on {device.type}"
    if importlib.util.find_spec("nerfacc") is None:
        return "nerfacc is not installed (pip install 'hypernerf[cuda]')"
    return None


@torch.no_grad()
def traverse(
    origins: Float[Tensor, "scene ray 3"],
    directions: Float[Tensor, "scene ray 3"],
    near: Float[Tensor, "scene ray"],
    far: Float[Tensor, "scene ray"],
    cells: Bool[Tensor, "grid z y x"],
    step: float,
) -> PackedSamples:
    """Steps of one length through the occupied cells between `near` and `far`, each scene in its own grid over [-1, 1]^3.

    One grid for all scenes has grid = 1. One launch takes all: where a ray enters and leaves its own grid is told beforehand,
    and that it meets no other.
    """
    import nerfacc

    scenes, rays = near.shape
    grids, count, device = len(cells), scenes * rays, near.device
    own = torch.arange(count, device=device) // rays if grids > 1 else torch.zeros(count, dtype=torch.long, device=device)
    hits, crossings, order = grid_crossings(own, near.flatten(), far.flatten(), grids)
    cube = torch.tensor([-1.0, -1, -1, 1, 1, 1], device=device).expand(grids, 6)
    intervals, samples, _ = nerfacc.traverse_grids(
        origins.reshape(-1, 3), directions.reshape(-1, 3), cells.permute(0, 3, 2, 1), cube,
        near.flatten(), far.flatten(), step_size=step, t_sorted=crossings, t_indices=order, hits=hits,
    )  # fmt: skip
    return PackedSamples(intervals.vals[intervals.is_left], intervals.vals[intervals.is_right], samples.ray_indices)


def grid_crossings(
    own: Int[Tensor, " ray"], near: Float[Tensor, " ray"], far: Float[Tensor, " ray"], grids: int
) -> tuple[Bool[Tensor, "ray grid"], Float[Tensor, "ray crossing"], Int[Tensor, "ray crossing"]]:
    """What `nerfacc.traverse_grids` wants to know: grids met, distances of crossings in rising order, and whose they are.

    Grid g is entered at crossing g and left at crossing g + grids; grids not met are crossed at infinity.
    """
    count, device = len(own), own.device
    hits = torch.nn.functional.one_hot(own, grids).bool()
    distances = torch.full((count, 2 * grids), float("inf"), device=device)
    distances[:, 0], distances[:, 1] = near, far
    others = torch.argsort(hits.int(), dim=1, stable=True)[:, :-1]
    order = torch.cat([own[:, None], own[:, None] + grids, others, others + grids], dim=1)
    return hits, distances, order


def render(
    samples: PackedSamples,
    density: Float[Tensor, " sample"],
    color: Float[Tensor, "sample 3"],
    rays: int,
) -> tuple[Float[Tensor, "ray 3"], Float[Tensor, "ray 1"], Float[Tensor, "ray 1"]]:
    """Per ray sum_i w_i c_i, sum_i w_i and sum_i w_i t_i, with w as in `volume_weights` and t the samples' middles."""
    import nerfacc

    share, _, _ = nerfacc.render_weight_from_density(samples.starts, samples.ends, density, ray_indices=samples.rays, n_rays=rays)
    middles = 0.5 * (samples.starts + samples.ends)[:, None]
    mixed, opacity, distance = (
        nerfacc.accumulate_along_rays(share, values, ray_indices=samples.rays, n_rays=rays) for values in (color, None, middles)
    )
    return mixed, opacity, distance
