"""Volume rendering with as many samples a ray as its own part of its scene needs. Needs nerfacc; not yet run on a GPU."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..fields import FieldWeights, radiance_field
from ..geometry import intersect_sphere
from ..ops import _nerfacc
from ..types import InputError, RayBundle, RenderOutput
from .occupancy import OccupancyGrid


def render_packed(
    weights: FieldWeights,
    rays: RayBundle,
    background: Float[Tensor, "scene 3"],
    occupancy: OccupancyGrid,
    step: float = 0.01,
    backend: str = "auto",
) -> RenderOutput:
    """As `render_rays`, with samples of one length `step` through occupied cells, all scenes of a batch in one traversal.

    Raises:
        InputError: nerfacc is missing, or the rays are not on a GPU.
    """
    reason = _nerfacc.missing(rays.origins.device)
    if reason:
        raise InputError(f"packed samples: {reason}")
    scenes, count = rays.origins.shape[:2]
    near, far = intersect_sphere(rays)
    samples = _nerfacc.traverse(rays.origins, rays.directions, near, far, occupancy.cells, step)
    place, most = places(samples.rays // count, scenes)
    middles = 0.5 * (samples.starts + samples.ends)[:, None]
    directions = rays.directions.reshape(-1, 3)[samples.rays]
    points = rays.origins.reshape(-1, 3)[samples.rays] + middles * directions
    output = radiance_field(_spread(points, place, scenes, most), _spread(directions, place, scenes, most), weights, backend)
    density, color = output.density.flatten()[place], output.color.reshape(-1, 3)[place]
    mixed, opacity, distance = (t.reshape(scenes, count, -1) for t in _nerfacc.render(samples, density, color, scenes * count))
    mixed = mixed + (1 - opacity) * background[:, None]
    opacity, distance = opacity[..., 0], distance[..., 0] / opacity[..., 0].clamp_min(1e-6)
    return RenderOutput(mixed, opacity, torch.where(opacity > 0.5, distance, 0.0))


def places(scene: Int[Tensor, " sample"], scenes: int) -> tuple[Int[Tensor, " sample"], int]:
    """Where samples, sorted by scene, stand in rows of equal length, one a scene, laid end to end; and that length."""
    counts = torch.bincount(scene, minlength=scenes)
    most = int(counts.max())
    first = torch.cumsum(counts, 0) - counts
    return torch.arange(len(scene), device=scene.device) - first[scene] + scene * most, most


def _spread(values: Float[Tensor, "sample 3"], place: Tensor, scenes: int, most: int) -> Float[Tensor, "scene point 3"]:
    return values.new_zeros(scenes * most, 3).index_copy(0, place, values).reshape(scenes, most, 3)
