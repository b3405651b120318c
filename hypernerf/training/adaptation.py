"""A scene's field, made better by a few gradient steps on the very images it was read from.

One forward pass has seen thousands of scenes but weighs these images only once. What is changed here is a copy of the
hypernetwork, its scene code held fixed: that generalises to unseen views better than changing the written weights
themselves, and far better than changing the code (docs/recipe.md has the figures).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fields import FieldWeights
from ..geometry import camera_rays
from ..models import Generator
from ..rendering import OccupancyGrid, render_rays, scene_occupancy
from ..types import Cameras, ContextViews, InputError, RayBundle


@dataclass(frozen=True)
class AdaptConfig:
    steps: int = 100  # at most; how many are kept is decided on held-out rays
    learning_rate: float = 1e-3
    rays: int = 1024  # a step
    samples: int = 24  # a ray
    looks: int = 8  # at the held-out rays, evenly over the steps
    held_out: float = 0.1  # share of the rays, where there is one view only; else a whole view
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.rays, self.samples, self.looks) < 1 or self.steps < 0:
            raise InputError("adaptation needs at least 1 ray, sample and look, and no negative number of steps")


@dataclass(frozen=True)
class Adaptation:
    """The adapted weights, and the evidence: PSNR (dB) of held-out rays after some numbers of steps, 0 among them."""

    weights: FieldWeights
    steps: int  # that were kept: those after which the held-out rays were predicted best
    held_out: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class _Rays:
    """Rays [1, ray] with their colors [1, ray, 3]."""

    rays: RayBundle
    colors: Tensor

    def __getitem__(self, index: Tensor) -> _Rays:
        return _Rays(self.rays[:, index], self.colors[:, index])

    def __len__(self) -> int:
        return self.colors.shape[1]


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
    read, learn, check = _divided(context, config)
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
    total = config.steps + best
    weights = _descend(
        generator, context, _all_rays(context), config, best, lambda step, w: None, lambda s: on_step(config.steps + s, total)
    )
    return Adaptation(weights.rounded(), best, tuple(curve))


def _descend(
    generator: Generator,
    context: ContextViews,
    learn: _Rays,
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
        # stays as it is: to find it anew costs as much as a step
        correction = generator.refined(draft, context, code).minus(draft.weights)
    changed = copy.deepcopy(generator)
    network = changed.hypernetwork.requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
    looks = {math.ceil(config.steps * (i + 1) / config.looks) for i in range(config.looks)}
    weights = changed.generate(code).plus(correction)
    for step in range(1, steps + 1):
        if step % 25 == 1:
            occupancy = scene_occupancy(weights.map(Tensor.detach), 32)
        batch = learn[torch.randint(len(learn), (config.rays,), generator=random)]
        jitter = torch.rand(1, config.rays, config.samples, generator=random).to(generator.device)
        output = render_rays(weights, batch.rays, context.background, config.samples, occupancy, jitter)
        optimizer.zero_grad(set_to_none=True)
        (output.color - batch.colors).square().mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (0.55 + 0.45 * math.cos(math.pi * step / config.steps))
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        optimizer.step()
        weights = changed.generate(code).plus(correction)
        if step in looks:
            look(step, weights.map(Tensor.detach))
        on_step(step)
    return weights


def _divided(context: ContextViews, config: AdaptConfig) -> tuple[ContextViews, _Rays, _Rays]:
    """What the first run reads, the rays it learns from, and those it is checked on."""
    rays, views = _all_rays(context), context.images.shape[1]
    if views > 1:
        cameras = context.cameras
        fewer = Cameras(cameras.camera_to_world[:, :-1], cameras.intrinsics[:, :-1], cameras.height, cameras.width)
        first = len(rays) // views * (views - 1)
        index = torch.arange(len(rays))
        return ContextViews(context.images[:, :-1], fewer, context.background), rays[index[:first]], rays[index[first:]]
    order = torch.randperm(len(rays), generator=torch.Generator().manual_seed(config.seed))
    count = max(1, round(config.held_out * len(rays)))
    return context, rays[order[count:]], rays[order[:count]]


def _all_rays(context: ContextViews) -> _Rays:
    rays = camera_rays(context.cameras)
    flat = RayBundle(rays.origins.reshape(1, -1, 3), rays.directions.reshape(1, -1, 3))
    return _Rays(flat, context.images.reshape(1, -1, 3))


@torch.no_grad()
def _psnr(weights: FieldWeights, check: _Rays, background: Tensor, config: AdaptConfig) -> float:
    occupancy: OccupancyGrid = scene_occupancy(weights, 32)
    error = sum(
        (render_rays(weights, part.rays, background, config.samples, occupancy).color - part.colors).square().sum()
        for part in (check[index] for index in torch.arange(len(check)).split(1024))
    )
    return -10 * math.log10(max(float(error) / check.colors.numel(), 1e-10))
