"""Where the cameras stand for scenes that we draw ourselves."""

from __future__ import annotations

import numpy as np
import torch

from hypernerf.geometry import camera_rays, look_at
from hypernerf.types import Cameras, RayBundle

FIELD_OF_VIEW_DEGREES = 45.0
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # successive views lie far apart in azimuth, however many are taken


def surrounding_cameras(rng: np.random.Generator, views: int, size: int) -> Cameras:
    """`views` cameras that just see the whole unit sphere, z up, at elevations between -10 and 60 degrees."""
    azimuth = rng.uniform(0, 2 * np.pi) + GOLDEN_ANGLE * np.arange(views)
    height = rng.uniform(np.sin(np.radians(-10)), np.sin(np.radians(60)), views)
    across = np.sqrt(1 - height**2)
    half_view = np.radians(FIELD_OF_VIEW_DEGREES / 2)
    positions = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), height], axis=1) / np.sin(half_view)
    poses = look_at(torch.from_numpy(positions), torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0, 1]).double())
    focal = size / 2 / np.tan(half_view)
    return Cameras(poses.float(), torch.tensor([focal, focal, size / 2, size / 2]).float().expand(views, 4), size, size)


SUBPIXELS = ((-0.375, -0.125), (-0.125, 0.375), (0.125, -0.375), (0.375, 0.125))  # a rotated grid


def subpixel_rays(cameras: Cameras, pixels: np.ndarray) -> RayBundle:
    """Four rays [pixel, 4] around the center of each of the given pixels, numbered through all views [view, row, column]."""
    view, place = np.divmod(pixels, cameras.height * cameras.width)
    row, column = np.divmod(place, cameras.width)
    chosen = cameras[torch.from_numpy(view)]
    parts = []
    for right, down in SUBPIXELS:
        # the ray right of a pixel's center is the center's own in a camera whose principal point lies left
        moved = chosen.intrinsics - torch.tensor([0.0, 0.0, right, down])
        shifted = Cameras(chosen.camera_to_world, moved, cameras.height, cameras.width)
        parts.append(camera_rays(shifted, torch.from_numpy(row * cameras.width + column)[:, None]))
    return RayBundle(torch.cat([p.origins for p in parts], dim=1), torch.cat([p.directions for p in parts], dim=1))
