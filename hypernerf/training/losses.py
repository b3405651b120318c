"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..types import InputError, RenderOutput, SceneBatch


@dataclass(frozen=True)
class LossConfig:
    opacity: float = 0.1  # weight of the opacity's error where masks are known: shape is learned apart from color
    hull: float = 0.03  # weight, at the start, of being right about the visual hull where masks are known; fades to 0
    spread: float = 0.0  # weight of the energy score of sampled fields; needs hypernetwork.factors

    def __post_init__(self) -> None:
        for name in ("opacity", "hull", "spread"):
            if getattr(self, name) < 0:
                raise InputError(f"train.loss.{name} must not be negative, not {getattr(self, name)}")


def reconstruction_loss(
    output: RenderOutput, batch: SceneBatch, config: LossConfig
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(loss, color mean squared error) over all target rays: mean i |C - C*|^2 + opacity * mean i (O - mask)^2, i: importance."""
    color_error = (batch.target_importance * (output.color - batch.target_colors).square().mean(-1)).mean()
    if batch.target_masks is None or config.opacity == 0:
        return color_error, color_error
    opacity_error = (batch.target_importance * (output.opacity - batch.target_masks).square()).mean()
    return color_error + config.opacity * opacity_error, color_error


HULL_LENGTH = 0.1  # in units of the scene sphere: how far light goes through what is to be judged full or empty


def hull_loss(density: Float[Tensor, "scene point"], inside: Float[Tensor, "scene point"]) -> Float[Tensor, ""]:
    """Mean cross entropy of the opacity 1 - exp(-density * HULL_LENGTH) against what is inside (1) and outside (0)."""
    depth = density * HULL_LENGTH
    full = -torch.log(-torch.expm1(-depth.clamp_min(1e-4)))
    return (inside * full + (1 - inside) * depth).mean()
