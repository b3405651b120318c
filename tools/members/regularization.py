"""Generated weights against weights learned directly from the same views: how well both know views they were not given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hypernerf.cli.common import tracked
from hypernerf.cli.session import Run
from hypernerf.fields import FieldWeights, initial_weights
from hypernerf.geometry import camera_rays
from hypernerf.rendering import RenderSettings, render_rays, render_views, scene_occupancy
from hypernerf.training import StoredScene, context_views, reconstruct, target_views
from hypernerf.training.metrics import psnr
from hypernerf.types import RayBundle

from .output import Cell

RAYS, SAMPLES, RATE, LOOKS = 512, 24, 5e-3, 4  # of a step, of a ray, of Adam, of the unseen views over the steps


WAYS = ("generated", "learned from the mean field", "learned from scratch")


@dataclass(frozen=True)
class Pair:
    """PSNR (dB) of the views that were given, and of others."""

    given: float
    unseen: float


def regularization_rows(run: Run, scenes: Sequence[StoredScene], counts: Sequence[int], steps: int) -> list[dict[str, Cell]]:
    """A row a number of views and a way to weights. Learned ones are judged where unseen views are best, to their favor."""
    rows: list[dict[str, Cell]] = []
    spec = run.experiment.field
    mean = run.generator.generate(run.mean_code)
    blank = FieldWeights(spec, {n: v[None] for n, v in initial_weights(spec, torch.Generator().manual_seed(0)).items()})
    for count in counts:
        views = run.experiment.evaluate.views_for(count)
        ways: dict[str, list[list[Pair]]] = {name: [] for name in WAYS}
        for scene in tracked(scenes, f"{count} views", len(scenes)):
            rest = target_views(scene, run.experiment.evaluate, [count])
            judge = lambda w, s=scene, r=rest: _pair(w, s, views, r, run.experiment.render)
            ways[WAYS[0]].append([judge(reconstruct(run.generator, scene, views))])
            ways[WAYS[1]].append(_learned(mean, scene, views, steps, judge))
            ways[WAYS[2]].append(_learned(blank, scene, views, steps, judge))
        for way, curves in ways.items():
            means = [_mean([curve[i] for curve in curves]) for i in range(len(curves[0]))]
            best = max(means, key=lambda pair: pair.unseen)
            rows.append({
                "views": count, "weights": way, "given views (dB)": best.given, "unseen views (dB)": best.unseen,
                "gap (dB)": best.given - best.unseen, "unseen at the end (dB)": means[-1].unseen,
            })  # fmt: skip
    return rows


def _learned(start: FieldWeights, scene: StoredScene, views: Sequence[int], steps: int, judge) -> list[Pair]:
    """What `judge` says at `LOOKS` moments of Adam steps on the weights themselves, on rays of the given views."""
    random = torch.Generator().manual_seed(0)
    context = context_views([scene], views)
    every = camera_rays(context.cameras)
    rays = RayBundle(every.origins.reshape(1, -1, 3), every.directions.reshape(1, -1, 3))
    colors = context.images.reshape(1, -1, 3)
    tensors = {name: value.detach().clone().requires_grad_() for name, value in start.tensors.items()}
    weights, found = FieldWeights(start.spec, tensors), []
    optimizer = torch.optim.Adam(tensors.values(), RATE, betas=(0.9, 0.99))
    looks = {round(steps * (i + 1) / LOOKS) for i in range(LOOKS)}
    for step in range(1, steps + 1):
        if step % 25 == 1:
            occupancy = scene_occupancy(weights.map(Tensor.detach), 32)
        chosen = torch.randint(colors.shape[1], (RAYS,), generator=random)
        jitter = torch.rand(1, RAYS, SAMPLES, generator=random)
        output = render_rays(weights, rays[:, chosen], context.background, SAMPLES, occupancy, jitter)
        optimizer.zero_grad(set_to_none=True)
        (output.color - colors[:, chosen]).square().mean().backward()
        optimizer.step()
        if step in looks:
            found.append(judge(weights.rounded()))
    return found


@torch.no_grad()
def _pair(weights: FieldWeights, scene: StoredScene, given: Sequence[int], rest: Sequence[int], settings: RenderSettings) -> Pair:
    both = [*given, *rest]
    values = psnr(render_views(weights, scene.cameras[both], scene.background, settings).color, scene.image(both))
    return Pair(float(values[: len(given)].mean()), float(values[len(given) :].mean()))


def _mean(pairs: Sequence[Pair]) -> Pair:
    return Pair(sum(p.given for p in pairs) / len(pairs), sum(p.unseen for p in pairs) / len(pairs))
