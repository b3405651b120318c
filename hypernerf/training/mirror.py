"""Mirrored scenes: as plausible as those that were given, and twice as many."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from ..geometry import mirrored_views
from ..types import RayBundle, SceneBatch


def mirror_scenes(batch: SceneBatch, chosen: Bool[Tensor, " scene"], axis: int) -> SceneBatch:
    """The batch with its `chosen` scenes mirrored across the plane through the origin that is normal to `axis` (0, 1 or 2).

    What a ray sees is carried with it, so that colors, masks and what is inside of the hull stay as they are.
    """
    signs = torch.ones(len(chosen), 1, 3, device=chosen.device)
    signs[chosen, :, axis] = -1.0
    rays, points, context = batch.target_rays, batch.hull_points, mirrored_views(batch.context, axis)
    cameras, plain = context.cameras, batch.context.cameras

    def where(mirrored: Tensor, given: Tensor) -> Tensor:
        return torch.where(chosen.reshape(-1, *[1] * (given.ndim - 1)), mirrored, given)

    pose = where(cameras.camera_to_world, plain.camera_to_world)
    cameras = replace(cameras, camera_to_world=pose, intrinsics=where(cameras.intrinsics, plain.intrinsics))
    return replace(
        batch,
        context=replace(context, images=where(context.images, batch.context.images), cameras=cameras),
        target_rays=RayBundle(rays.origins * signs, rays.directions * signs),
        hull_points=None if points is None else points * signs,
    )
