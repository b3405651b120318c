"""One picture, by Trans-INR's renderer and by ours, of the same field and the same rays.

Its renderer asks whatever field it is given, so it is given ours too (the reference backend, as it would be written for it). All
pictures of our field are compared with that field sampled very densely. Pictures count as equal if they are as near to that as
its renderer comes, or within `EQUAL`; where the run's own settings do not come so near, ours is drawn with more samples too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.cli.benchmark_run import EVERYWHERE, REFERENCE, view_of
from hypernerf.cli.timing import medians
from hypernerf.fields import FieldWeights, SceneField, radiance_field
from hypernerf.geometry import camera_rays
from hypernerf.rendering import RenderSettings, render_views
from hypernerf.training.metrics import psnr
from hypernerf.types import InputError

from .equal import EqualTransInr, Sizes

CPU = torch.device("cpu")
EQUAL = 40.0  # dB: two pictures that near are the same to the eye
DOUBLINGS = 4  # of the samples, at most, until ours is near enough
THEIRS, THEIRS_OUR_FIELD = "Trans-INR, its field", "Trans-INR, our field"


@dataclass(frozen=True)
class Picture:
    seconds: float
    psnr: float | None  # against dense sampling of the same field


class AsTheirs:
    """Our field in the form of theirs: color before a sigmoid and density before a ReLU, nothing outside the unit sphere."""

    def __init__(self, weights: FieldWeights) -> None:
        self.weights = weights
        self.use_viewdirs = weights.spec.direction_frequencies > 0

    def __call__(
        self, points: Float[Tensor, "1 point 3"], viewdirs: Float[Tensor, "1 *point 3"] | None = None
    ) -> Float[Tensor, "1 point 4"]:
        directions = None if viewdirs is None else viewdirs.reshape(points.shape)
        output = radiance_field(points, directions, self.weights, "torch")
        density = torch.where(points.square().sum(-1) <= 1, output.density, 0.0)
        return torch.cat([torch.logit(output.color, 1e-6), density[..., None]], dim=-1)


def pictures(peer: EqualTransInr, sizes: Sizes, field: SceneField, settings: RenderSettings, repeats: int) -> dict[str, Picture]:
    """Of one view of `sizes.view` pixels along a side, by name; rivals take turns.

    Raises:
        InputError: the field's background is not white, which theirs composites over.
    """
    if min(field.background) < 1:
        raise InputError("Trans-INR's renderer assumes a white background: give a run whose source.background is 1 1 1")
    camera, white = view_of(field, sizes.view), torch.ones(3)
    ours = partial(render_views, field.weights, camera, white)
    exact = ours(RenderSettings(REFERENCE), EVERYWHERE).color
    theirs = partial(their_picture, peer.utils, field, sizes)
    quality = {THEIRS_OUR_FIELD: float(psnr(theirs(AsTheirs(field.weights)), exact))}
    works: dict[str, Callable[[], object]] = {
        THEIRS: partial(theirs, their_field(peer)),
        THEIRS_OUR_FIELD: partial(theirs, AsTheirs(field.weights)),
    }
    for doubling in range(DOUBLINGS + 1):
        more = replace(settings, samples=settings.samples << doubling)
        near = float(psnr(ours(more).color, exact))
        good = near >= min(EQUAL, quality[THEIRS_OUR_FIELD])
        if doubling == 0 or good or doubling == DOUBLINGS:
            name = f"ours, {more.samples} samples" + ("" if good else ": worse")
            works[name], quality[name] = partial(ours, more), near
        if good:
            break
    seconds = medians(works, CPU, repeats)
    return {name: Picture(seconds[name], quality.get(name)) for name in works}


@torch.no_grad()
def their_picture(utils: Any, field: SceneField, sizes: Sizes, nerf: Any) -> Float[Tensor, "1 height width 3"]:
    """By its `batched_volume_rendering`, between the distances where the unit sphere is."""
    rays = camera_rays(view_of(field, sizes.view))
    near, far = max(field.camera_distance - 1, 0.05), field.camera_distance + 1
    images = utils.batched_volume_rendering(
        nerf, rays.origins[None], rays.directions[None], near=near, far=far, points_per_ray=sizes.view_samples,
        use_viewdirs=nerf.use_viewdirs, rand=False, batch_size=sizes.view_rays,
    )  # fmt: skip
    return images[0]


@torch.no_grad()
def their_field(peer: EqualTransInr) -> Any:
    """Its field of the first scene."""
    data = peer.data(peer.material.train[:1], 1, np.random.default_rng(0))
    return peer.model({name: value for name, value in data.items() if name.startswith("support")})
