"""Images turned and cropped so that the scene sphere is in the middle and just fits, as in scenes that we draw.

Turning a camera about its own position moves pixels and uncovers nothing, so the result is what a camera that looks at the
center of the sphere would have taken. What the photo did not show is filled with background.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.types import InputError, SceneTransform

from .distortion import Lens

SAMPLES = 3  # along a pixel's side


def framed(
    planes: Float[Tensor, "channel height width"],
    lens: Lens,
    pose: Float[Tensor, "4 4"],
    sphere: SceneTransform,
    background: tuple[float, float, float],
    size: int,
) -> tuple[Float[Tensor, "channel size size"], Lens, Float[Tensor, "4 4"]]:
    """The image (color, then perhaps coverage) of a pinhole lens, its new lens and its new camera-to-world pose (float64).

    Raises:
        InputError: the camera is inside the sphere.
    """
    turned, distance = _toward(pose, sphere)
    # the sphere is seen in a cone of half-angle asin(r / distance)
    focal = size / 2 / math.tan(math.asin(sphere.radius / distance))
    planes, lens = _reduced(planes, lens, focal * SAMPLES)
    line = (torch.arange(size * SAMPLES) + 0.5).double() / SAMPLES
    y, x = torch.meshgrid(line, line, indexing="ij")
    rays = torch.stack([(x - size / 2) / focal, (y - size / 2) / focal, torch.ones_like(x)], -1)
    rays = rays @ (pose[:3, :3].T @ turned[:3, :3]).T  # in the axes of the camera that took the photo
    depth = rays[..., 2].clamp_min(1e-9)
    places = torch.stack([lens.cx + lens.fx * rays[..., 0] / depth, lens.cy + lens.fy * rays[..., 1] / depth], -1)
    limit = places.new_tensor([planes.shape[2], planes.shape[1]])
    shown = ((places >= 0) & (places <= limit)).all(-1) & (rays[..., 2] > 0)
    grid = (places / limit * 2 - 1).clamp(-2, 2).to(planes.dtype)
    sampled = torch.nn.functional.grid_sample(planes[None], grid[None], padding_mode="border", align_corners=False)[0]
    empty = planes.new_tensor([*background, 0.0][: len(planes)])[:, None, None]
    sampled = torch.where(shown, sampled, empty)
    return torch.nn.functional.avg_pool2d(sampled[None], SAMPLES)[0], Lens(focal, focal, size / 2, size / 2), turned


def _toward(pose: Float[Tensor, "4 4"], sphere: SceneTransform) -> tuple[Float[Tensor, "4 4"], float]:
    """The camera turned to look at the sphere's center, with as little roll as may be; and how far away that is."""
    way = torch.tensor(sphere.center, dtype=pose.dtype) - pose[:3, 3]
    distance = float(way.norm())
    if distance <= 1.02 * sphere.radius:
        raise InputError("a camera is inside the scene sphere: check source.center and source.radius, or set source.align true")
    forward = way / distance
    right = torch.linalg.cross(pose[:3, 1], forward)
    if float(right.norm()) < 1e-6:
        raise InputError("a camera has the scene sphere above or below its image: see tools/check_scenes.py")
    right = right / right.norm()
    result = pose.clone()
    result[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=1)
    return result, distance


def _reduced(planes: Float[Tensor, "channel height width"], lens: Lens, focal: float) -> tuple[Tensor, Lens]:
    """The image made smaller, where its pixels are much finer than those that are asked for."""
    ratio = min(lens.fx, lens.fy) / focal
    if ratio < 1.5:
        return planes, lens
    height, width = (max(1, round(side / ratio)) for side in planes.shape[1:])
    small = torch.nn.functional.interpolate(planes[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
    return small, lens.scaled(width / planes.shape[2], height / planes.shape[1])
