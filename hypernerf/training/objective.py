"""What a training step minimises, from context images to one number, as one module: what several processes wrap as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..fields import FieldSpec, FieldWeights, radiance_field
from ..models import Generator, SceneCode
from ..rendering import OccupancyGrid, render_rays
from ..rendering.occupancy import grid_density
from ..types import InputError, SceneBatch
from .experiment import TrainConfig
from .losses import hull_loss, reconstruction_loss
from .step import Further, Step

LOOKED_AT = 8  # scenes of a batch that say what is empty


@dataclass(frozen=True)
class Look:
    """Where to ask the step's fields what is empty: at the same points in some of its scenes, by their place in the batch."""

    points: Float[Tensor, "cell 3"]
    scenes: tuple[int, ...]  # none: others look


def looked_at(slots: Sequence[int], scenes: int) -> tuple[int, ...]:
    """Of a batch of so many scenes, `LOOKED_AT` or all, spread evenly: those in `slots`, by their place there."""
    spread = {i * scenes // LOOKED_AT for i in range(LOOKED_AT)}
    return tuple(place for place, slot in enumerate(slots) if slot in spread)


@dataclass(frozen=True)
class StepInput:
    """All that a step depends on beside the weights: nothing random is drawn behind it but by further losses, from `seed`."""

    batch: SceneBatch
    specs: tuple[FieldSpec, ...]  # of the fields to write of each scene, which share its rays
    jitter: Float[Tensor, "scene ray sample"]
    occupancy: OccupancyGrid
    hull_weight: float
    refine: bool
    seed: int  # of what further losses draw
    look: Look | None = None


@dataclass(frozen=True)
class StepOutput:
    """`losses`: `total`, which is minimised, and its parts: `color` (mean squared error), `hull` where it is known, further ones.

    `seen`: the largest density at each point of the look, over its scenes; 0 where there are none.
    """

    losses: dict[str, Float[Tensor, ""]]
    seen: Float[Tensor, " cell"] | None


class Objective(nn.Module):
    """Generator, rendering and losses. All losses are means over the batch: those of equal parts average to the whole's."""

    def __init__(self, generator: Generator, config: TrainConfig, further: Mapping[str, Further] = {}) -> None:
        """`further`: losses to be added, by name. Raises `InputError` when there are more sizes than rays to share."""
        super().__init__()
        sizes = len(generator.config.sizes.specs(generator.config.field))
        if min(config.batch.rays, config.batch.hull_points) < sizes:
            raise InputError(f"train.batch.rays and hull_points are shared by all sizes: set at least {sizes} of each")
        self.generator, self.config, self.further = generator, config, dict(further)

    def forward(self, step: StepInput) -> StepOutput:
        code = self.generator.at(self.generator.encode(step.batch.context), step.batch.times)
        random = torch.Generator().manual_seed(step.seed)
        count, losses, seen = len(step.specs), dict[str, Tensor](), None
        for place, draft in enumerate(self.generator.drafts(code, step.specs)):
            weights = self.generator.refined(draft, step.batch.context, code) if step.refine else draft.weights
            if step.look is not None and draft.weights.spec == self.generator.config.field:
                seen = _densest(weights, step.look)
            batch, jitter = step.batch.every(count, place), step.jitter[:, place::count]
            share = jitter.shape[1] / step.jitter.shape[1]
            for name, loss in self._losses(step, batch, jitter, code, weights, random).items():
                losses[name] = losses.get(name, 0) + share * loss
        return StepOutput(losses, seen)

    def _losses(
        self, step: StepInput, batch: SceneBatch, jitter: Tensor, code: SceneCode, weights: FieldWeights, random: torch.Generator
    ) -> dict[str, Tensor]:
        """`total` and its parts, of fields of one size on their part of the rays."""
        config, background = self.config, batch.context.background
        output = render_rays(weights, batch.target_rays, background, config.samples, step.occupancy, jitter, config.backend)
        loss, color_error = reconstruction_loss(output, batch, config.loss)
        losses = {"total": loss, "color": color_error}
        if batch.hull_points is not None and batch.hull_inside is not None:
            density = radiance_field(batch.hull_points, torch.zeros_like(batch.hull_points), weights, config.backend).density
            losses["hull"] = hull_loss(density, batch.hull_inside)
            losses["total"] = loss + step.hull_weight * losses["hull"]
        for name, further in self.further.items():
            losses[name] = further(self.generator, Step(batch, code, weights, step.occupancy, random, config))
            losses["total"] = losses["total"] + losses[name]
        return losses


def _densest(weights: FieldWeights, look: Look) -> Float[Tensor, " cell"]:
    """The largest density of the scenes looked at in each point; 0 of none."""
    chosen = list(look.scenes)
    if not chosen:
        return torch.zeros(len(look.points), device=weights.device)  # as the others' is: all processes' are joined
    return grid_density(weights.map(lambda t: t[chosen].detach()), look.points).amax(0)
