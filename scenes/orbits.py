"""Where the cameras stand for scenes that we draw ourselves."""

from __future__ import annotations

import numpy as np
import torch

from hypernerf.geometry import look_at
from hypernerf.types import Cameras

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
