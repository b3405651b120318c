"""A scene's field, made better by a few gradient steps on the very images it was read from.

One forward pass has seen thousands of scenes but weighs these images only once. What is changed here is a copy of the
hypernetwork, its scene code held fixed: that generalises to unseen views better than changing the written weights
themselves, and far better than changing the code (docs/recipe.md has the figures). What no image shows is held to what the
forward pass predicts there: learning without forgetting (Li & Hoiem 2016), of one scene.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fields import FieldWeights
from ..models import Generator
from ..rendering import OccupancyGrid, render_rays, scene_occupancy
from ..types import ContextViews, InputError, RayBundle
from .adaptation_rays import AdaptationRays, DrawnRays, context_view_rays, divided, remembered_rays

POOL = 1 << 13  # remembered rays, from which those of a step are drawn


@dataclass(frozen=True)
class AdaptConfig:
    steps: int = 100  # at most; how many are kept is decided on held-out rays
    learning_rate: float = 1e-3
    rays: int = 1024  # a step
    samples: int = 24  # a ray
    remembered: int = 256  # rays a step of views that no image shows, which should stay as the forward pass predicted them
    memory: float = 0.1  # what their squared error counts against that of the images; 0: nothing is remembered
    looks: int = 8  # at the held-out rays, evenly over the steps
    held_out: float = 0.1  # share of the rays, where there is one view only; else a whole view
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.rays, self.samples, self.looks, self.remembered) < 1 or self.steps < 0 or self.memory < 0:
            raise InputError("adaptation needs at least 1 ray, sample, look and remembered ray, and no negative memory or steps")


@dataclass(frozen=True)
class Adaptation:
    """The adapted weights, and the evidence: PSNR (dB) of held-out rays after some numbers of steps, 0 among them."""

    weights: FieldWeights
    steps: int  # that were kept: those after which the held-out rays were predicted best
    held_out: tuple[tuple[int, float], ...]


def adapt(
    generator: Generator,
    context: ContextViews,
    config: AdaptConfig = AdaptConfig(),
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Adaptation:
    """Adapts to the context of one scene. A run that reads one view less says, by that view, how many steps help; then all
    views are read and that many steps are taken on all of them. With a single view a share of its rays is held out instead.

    Args:
        on_step: told (steps done, steps in all) of both runs.

    Raises:
        InputError: more than one scene.
    """
    if len(context.images) != 1:
        raise InputError(f"adaptation is of one scene at a time, not of {len(context.images)}")
    context = context.to(generator.device)
    read, learn, check = divided(context, config.held_out, config.seed)
    best, curve = 0, [(0, _psnr(generator(read), check, context.background, config))]

    def look(step: int, weights: FieldWeights) -> None:
        nonlocal best
        curve.append((step, _psnr(weights, check, context.background, config)))
        if curve[-1][1] > max(value for _, value in curve[:-1]):
            best = step

    _descend(generator, read, learn, config, config.steps, look, lambda step: on_step(step, 2 * config.steps))
    if not best:
        on_step(2 * config.steps, 2 * config.steps)
        with torch.no_grad():
            return Adaptation(generator(context).rounded(), 0, tuple(curve))
    total, every = config.steps + best, context_view_rays(context)
    weights = _descend(
        generator, context, every, config, best, lambda step, w: None, lambda step: on_step(config.steps + step, total)
    )
    return Adaptation(weights.rounded(), best, tuple(curve))


def _descend(
    generator: Generator,
    context: ContextViews,
    learn: AdaptationRays,
    config: AdaptConfig,
    steps: int,
    look: Callable[[int, FieldWeights], None],
    on_step: Callable[[int], None],
) -> FieldWeights:
    """`steps` Adam steps on the rays `learn`, the first of the `config.steps` that the cosine is laid out for."""
    random = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        code = generator.encode(context)
        draft = generator.draft(code)
        refined = generator.refined(draft, context, code)
        correction = refined.minus(draft.weights)  # stays as it is: to find it anew costs as much as a step
    changed = copy.deepcopy(generator)
    network = changed.hypernetwork.requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    looks = {math.ceil(config.steps * (i + 1) / config.looks) for i in range(config.looks)}
    memory = remembered_rays(refined, context, POOL, config.samples, random) if config.memory else None
    weights = changed.generate(code).plus(correction)
    for step in range(1, steps + 1):
        if step % 25 == 1:
            occupancy = scene_occupancy(weights.map(Tensor.detach), 32)
        parts = [(1.0, learn.draw(config.rays, random))]
        if memory is not None:
            parts.append((config.memory, memory.draw(config.remembered, random)))
        loss = _loss(weights, parts, context.background, config.samples, occupancy, random)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (0.55 + 0.45 * math.cos(math.pi * step / config.steps))
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        optimizer.step()
        weights = changed.generate(code).plus(correction)
        if step in looks:
            look(step, weights.map(Tensor.detach))
        on_step(step)
    return weights


def _loss(
    weights: FieldWeights,
    parts: Sequence[tuple[float, DrawnRays]],
    background: Tensor,
    samples: int,
    occupancy: OccupancyGrid,
    random: torch.Generator,
) -> Tensor:
    """The sum over parts of a factor times the mean squared error of the part's rays; all are rendered in one call."""
    origins = torch.cat([drawn.rays.origins for _, drawn in parts], dim=1)
    directions = torch.cat([drawn.rays.directions for _, drawn in parts], dim=1)
    colors = torch.cat([drawn.colors for _, drawn in parts], dim=1)
    shares = torch.cat([drawn.importance * (factor / drawn.importance.shape[1]) for factor, drawn in parts], dim=1)
    jitter = torch.rand(*shares.shape, samples, generator=random).to(shares.device)
    output = render_rays(weights, RayBundle(origins, directions), background, samples, occupancy, jitter)
    return ((output.color - colors).square().mean(-1) * shares).sum()


@torch.no_grad()
def _psnr(weights: FieldWeights, check: AdaptationRays, background: Tensor, config: AdaptConfig) -> float:
    occupancy: OccupancyGrid = scene_occupancy(weights, 32)
    error = sum(
        (render_rays(weights, part.rays, background, config.samples, occupancy).color - part.colors).square().sum()
        for part in (check[index] for index in torch.arange(len(check)).split(1024))
    )
    return -10 * math.log10(max(float(error) / check.colors.numel(), 1e-10))
