"""From a field's numbers along rays to pixels: activations and the volume rendering integral together."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..types import FieldOutput, RaySamples, RenderOutput
from . import _cpu_integrate
from .backends import is_compiled
from .volrend import composite, volume_weights


def activated(values: Float[Tensor, "*batch 4"], shift: float, scale: float) -> FieldOutput:
    """density = scale log(1 + exp(values[0] - shift)), color = 1 / (1 + exp(-values[1:]))."""
    return FieldOutput(scale * torch.nn.functional.softplus(values[..., 0] - shift), torch.sigmoid(values[..., 1:]))


def integrate(
    values: Float[Tensor, "scene ray sample 4"],
    where: RaySamples,
    background: Float[Tensor, "scene 3"],
    shift: float,
    scale: float,
    backend: str = "auto",
) -> RenderOutput:
    """What rays see: with w_i as in `volume_weights`, color sum_i w_i c_i + (1 - sum_i w_i) background, opacity sum_i w_i, and
    depth sum_i w_i t_i / sum_i w_i where opacity is above 1/2, else 0.

    Args:
        values: the network's, before the activations: see `activated`.
        where: points along the rays [scene, ray, sample], front to back.
        background: what is seen where nothing is.
        shift, scale: of the density, as in `activated`.
        backend: `torch` is the reference, which writes down each of some twenty steps for all points; on a CPU `cpu` keeps a few
            rays' points at a time. It takes float32, and gives a gradient to `values` alone; else the reference does the work.

    Raises:
        InputError: unknown backend, or one that cannot run here.
    """
    if is_compiled(backend, values.device) and _cpu_integrate.takes(values, where, background):
        return RenderOutput(*_cpu_integrate.integrate(values, where, background, shift, scale))
    field = activated(values, shift, scale)
    share = volume_weights(field.density, where.lengths)
    opacity = share.sum(-1)
    color = composite(share, field.color) + (1 - opacity)[..., None] * background[:, None]
    mean_distance = (share * where.distances).sum(-1) / opacity.clamp_min(1e-6)
    return RenderOutput(color, opacity, torch.where(opacity > 0.5, mean_distance, 0.0))
