"""What a scene's adaptation learns from: rays of its images, and rays of views that no image shows, as they were predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ..fields import FieldWeights
from ..geometry import camera_rays
from ..models import ray_chances
from ..rendering import render_rays, scene_occupancy
from ..types import Cameras, ContextViews, RayBundle

TURNS = 8  # views around the object that are remembered as they were predicted
SEEN, EMPTY = 0.02, 0.05  # opacity above which a remembered ray shows something, and how often another one is drawn against it
CHUNK = 1 << 12  # rays drawn at a time: bounds memory


@dataclass(frozen=True)
class DrawnRays:
    """A step's rays with what they should show; f * importance has the mean that f has over all rays alike."""

    rays: RayBundle  # [1, ray]
    colors: Float[Tensor, "1 ray 3"]
    importance: Float[Tensor, "1 ray"]


@dataclass(frozen=True)
class AdaptationRays:
    """Rays with what they should show, and how often each is drawn against the others."""

    rays: RayBundle  # [1, ray]
    colors: Float[Tensor, "1 ray 3"]
    chances: Float[Tensor, " ray"]

    def __getitem__(self, index: Tensor) -> AdaptationRays:
        return AdaptationRays(self.rays[:, index], self.colors[:, index], self.chances[index])

    def __len__(self) -> int:
        return len(self.chances)

    @cached_property
    def _summed(self) -> Float[Tensor, " ray"]:
        return self.chances.double().cpu().cumsum(0)

    def draw(self, count: int, generator: torch.Generator) -> DrawnRays:
        """`count` rays by chance, with replacement."""
        total = self._summed[-1]
        aim = torch.rand(count, dtype=torch.float64, generator=generator) * total
        index = torch.searchsorted(self._summed, aim, right=True).clamp_max(len(self) - 1).to(self.chances.device)
        importance = float(total) / (len(self) * self.chances[index])
        return DrawnRays(self.rays[:, index], self.colors[:, index], importance[None])


def context_view_rays(context: ContextViews) -> AdaptationRays:
    """Every pixel of one scene's views, in order; most of those that are drawn see the object."""
    rays = camera_rays(context.cameras)
    flat = RayBundle(rays.origins.reshape(1, -1, 3), rays.directions.reshape(1, -1, 3))
    return AdaptationRays(flat, context.images.reshape(1, -1, 3), ray_chances(context).flatten())


@torch.no_grad()
def remembered_rays(
    weights: FieldWeights, context: ContextViews, count: int, samples: int, generator: torch.Generator
) -> AdaptationRays:
    """`count` rays from all around one scene, with the colors that its field predicts there now."""
    every = camera_rays(turned_cameras(context.cameras[0]))
    index = torch.randint(every.origins[..., 0].numel(), (count,), generator=generator).to(weights.device)
    rays = RayBundle(every.origins.reshape(-1, 3)[index][None], every.directions.reshape(-1, 3)[index][None])
    occupancy = scene_occupancy(weights, 32)
    parts = [
        render_rays(weights, rays[:, part], context.background, samples, occupancy)
        for part in torch.arange(count, device=weights.device).split(CHUNK)
    ]
    opacity = torch.cat([part.opacity for part in parts], dim=1)[0]
    return AdaptationRays(rays, torch.cat([part.color for part in parts], dim=1), torch.where(opacity > SEEN, 1.0, EMPTY))


def turned_cameras(cameras: Cameras) -> Cameras:
    """`TURNS` cameras [turn] made of one scene's [view], in turns, each turned farther about what is up in them, on the whole.

    The axis goes through the origin, the center of the scene sphere; by Rodrigues' formula.
    """
    poses = cameras.camera_to_world
    chosen = torch.arange(TURNS, device=poses.device) % len(poses)
    up = torch.nn.functional.normalize(-poses[:, :3, 1].mean(0), dim=0)
    x, y, z = up.tolist()
    cross = poses.new_tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = (torch.arange(TURNS, device=poses.device) + 0.5)[:, None, None] * (2 * math.pi / TURNS)
    turn = torch.eye(3, device=poses.device) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
    matrix = poses[chosen].clone()
    matrix[:, :3] = turn @ matrix[:, :3]
    return replace(cameras, camera_to_world=matrix, intrinsics=cameras.intrinsics[chosen])


def divided(context: ContextViews, held_out: float, seed: int) -> tuple[ContextViews, AdaptationRays, AdaptationRays]:
    """What a run that is to be checked reads, the rays it learns from, and those it is checked on: the last view, or of a
    single view a share of its rays."""
    rays, views = context_view_rays(context), context.images.shape[1]
    if views > 1:
        cameras = context.cameras
        fewer = Cameras(cameras.camera_to_world[:, :-1], cameras.intrinsics[:, :-1], cameras.height, cameras.width)
        first = len(rays) // views * (views - 1)
        index = torch.arange(len(rays))
        return ContextViews(context.images[:, :-1], fewer, context.background), rays[index[:first]], rays[index[first:]]
    order = torch.randperm(len(rays), generator=torch.Generator().manual_seed(seed))
    count = max(1, round(held_out * len(rays)))
    return context, rays[order[count:]], rays[order[:count]]
