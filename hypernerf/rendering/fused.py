"""One scene's rays to pixels in one Triton launch: for looking at scenes, not for training. Not yet run on a GPU."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..fields import DENSITY_SCALE, DENSITY_SHIFT, FieldWeights
from ..geometry import intersect_sphere
from ..ops import pick_backend
from ..types import InputError, RayBundle, RenderOutput
from .occupancy import OccupancyGrid


def render_fused(
    weights: FieldWeights, rays: RayBundle, background: Float[Tensor, "1 3"], samples: int, occupancy: OccupancyGrid
) -> RenderOutput:
    """What rays [1, ray] see of one scene; each ray stops where less than a thousandth of its light is left.

    Unlike `render_rays`, `samples` divide the ray's whole chord of the sphere, and those in empty cells are skipped.

    Raises:
        InputError: Triton cannot run here, or the field's color depends on the viewing direction.
    """
    pick_backend("triton", rays.origins.device)
    spec, tensors = weights.spec, weights.tensors
    if spec.direction_frequencies:
        raise InputError("the fused renderer is for fields without field.direction_frequencies: use render_rays")
    from ..ops._triton_render import render

    near, far = intersect_sphere(rays)
    pixels = render(
        rays.origins[0], rays.directions[0], near[0], far[0], occupancy.cells[0], spec.position_frequencies,
        tensors.get("planes"), tensors.get("volume"), [tensors[name] for name in spec.layer_names],
        samples, (DENSITY_SHIFT, DENSITY_SCALE),
    )[None]  # fmt: skip
    opacity = pixels[..., 3]
    color = pixels[..., :3] + (1 - opacity)[..., None] * background[:, None]
    distance = pixels[..., 4] / opacity.clamp_min(1e-6)
    return RenderOutput(color, opacity, torch.where(opacity > 0.5, distance, 0.0))
