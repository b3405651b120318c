"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..types import InputError, RenderOutput, SceneBatch


@dataclass(frozen=True)
class LossConfig:
    opacity: float = 0.1  # weight of the opacity's error where masks are known: shape is learned apart from color

    def __post_init__(self) -> None:
        if self.opacity < 0:
            raise InputError(f"train.loss.opacity must not be negative, not {self.opacity}")


def reconstruction_loss(
    output: RenderOutput, batch: SceneBatch, config: LossConfig
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(loss, color mean squared error) over all target rays: mean |C - C*|^2 + opacity * mean (O - mask)^2."""
    color_error = (output.color - batch.target_colors).square().mean()
    if batch.target_masks is None or config.opacity == 0:
        return color_error, color_error
    return color_error + config.opacity * (output.opacity - batch.target_masks).square().mean(), color_error
