"""Volume rendering of fields: single rays for training, whole views for looking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..fields import DENSITY_SCALE, DENSITY_SHIFT, FieldWeights, field_values
from ..geometry import camera_rays, intersect_sphere, ray_points
from ..ops import BINS, integrate
from ..types import Cameras, InputError, RayBundle, RaySamples, RenderOutput
from .occupancy import OccupancyGrid, scene_occupancy
from .samplers import sample_occupied

PROBED = 1 << 13  # rays at a time that are asked whether they meet anything: bounds memory


@dataclass(frozen=True)
class RenderSettings:
    """How whole views are rendered. Samples are spent only where the scene's own occupancy grid is not empty."""

    samples: int = 48
    grid: int = 64  # cells along a side of the occupancy grid
    chunk: int = 1 << 12  # rays at a time: bounds memory

    def __post_init__(self) -> None:
        for name in ("samples", "grid", "chunk"):
            if getattr(self, name) < 1:
                raise InputError(f"render.{name} must be at least 1, not {getattr(self, name)}")


def render_rays(
    weights: FieldWeights,
    rays: RayBundle,
    background: Float[Tensor, "scene 3"],
    samples: int,
    occupancy: OccupancyGrid | None = None,
    jitter: Float[Tensor, "scene ray sample"] | None = None,
    backend: str = "auto",
    bins: int = BINS,
) -> RenderOutput:
    """What rays [scene, ray] in scene-sphere coordinates see, each scene by its own weights.

    C = sum_i w_i c_i + (1 - sum_i w_i) background. `samples`, `occupancy`, `jitter` and `bins` as in `sample_occupied`.
    """
    where = sample_occupied(rays, samples, occupancy, jitter, bins, backend)
    return render_samples(weights, rays, background, where, backend)


def render_samples(
    weights: FieldWeights, rays: RayBundle, background: Float[Tensor, "scene 3"], where: RaySamples, backend: str = "auto"
) -> RenderOutput:
    """As `render_rays`, by the field's values at the points `where`."""
    scenes, count, samples = where.distances.shape
    points = ray_points(rays, where.distances).reshape(scenes, count * samples, 3)
    directions = None
    if weights.spec.direction_frequencies:
        directions = rays.directions[:, :, None].expand(-1, -1, samples, -1).reshape(points.shape)
    values = field_values(points, directions, weights, backend).reshape(scenes, count, samples, 4)
    return integrate(values, where, background, DENSITY_SHIFT, DENSITY_SCALE, backend)


@torch.no_grad()
def render_views(
    weights: FieldWeights,
    cameras: Cameras,
    background: Float[Tensor, " 3"],
    settings: RenderSettings = RenderSettings(),
    occupancy: OccupancyGrid | None = None,
    before_chunk: Callable[[], None] = lambda: None,
) -> RenderOutput:
    """Whole images of one scene: color [view, height, width, 3], opacity and depth [view, height, width], on the CPU.

    The work is done where the weights are.

    Args:
        weights: of one scene.
        cameras: batch shape [view], in scene-sphere coordinates (`geometry.normalize_cameras`).
        background: what is seen where nothing is.
        occupancy: the scene's own grid, if it is at hand.
        before_chunk: called before each chunk of rays; what it raises ends the work.
    """
    if len(weights) != 1:
        raise ValueError(f"render_views draws one scene at a time, not {len(weights)}: pass weights[i : i + 1]")
    device = weights.device
    background = background.to(device)
    occupancy = scene_occupancy(weights, settings.grid) if occupancy is None else occupancy.to(device)
    every = camera_rays(cameras.to(device))
    shape = every.origins.shape[:-1]
    rays = RayBundle(every.origins.reshape(1, -1, 3), every.directions.reshape(1, -1, 3))
    count = rays.origins.shape[1]
    color = background.expand(count, 3).clone()
    opacity, depth = torch.zeros(count, device=device), torch.zeros(count, device=device)
    near, far = intersect_sphere(rays)
    for part in torch.nonzero(far[0] > near[0])[:, 0].split(max(PROBED, settings.chunk)):
        where = sample_occupied(rays[:, part], settings.samples, occupancy)
        for met in torch.nonzero(where.lengths[0, :, 0])[:, 0].split(settings.chunk):
            before_chunk()
            hits = part[met]
            samples = RaySamples(where.distances[:, met], where.lengths[:, met])
            seen = render_samples(weights, rays[:, hits], background[None], samples)
            color[hits], opacity[hits], depth[hits] = seen.color[0], seen.opacity[0], seen.depth[0]
    return RenderOutput(color.reshape(*shape, 3).cpu(), opacity.reshape(shape).cpu(), depth.reshape(shape).cpu())
