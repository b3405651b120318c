"""One picture of one field from where a browser looks: what is sent to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray as Array

from ..export.sheet import to_bytes
from ..fields import FieldWeights, SceneField
from ..rendering import OccupancyGrid, RenderSettings, render_views, scene_occupancy
from ..types import Cameras

NOTHING = 160.0  # depth where nothing is hit: far, and within what viser can send (167)
GRID = 48  # cells along a side of a scene's occupancy grid


@dataclass(frozen=True)
class View:
    """Where a browser looks from, in scene-sphere coordinates: OpenCV axes, `rotation` camera to world, angles in radians.

    Plain numbers: made by a browser's thread, where nothing is computed.
    """

    position: tuple[float, float, float]
    rotation: tuple[tuple[float, float, float], ...]
    field_of_view: float  # of the height
    width: int  # pixels of the browser's window
    height: int

    def cameras(self, size: int) -> Cameras:
        """[1], the window scaled so that its longer side has `size` pixels."""
        scale = size / max(self.width, self.height)
        height, width = max(1, round(self.height * scale)), max(1, round(self.width * scale))
        pose = torch.eye(4)
        pose[:3, :3], pose[:3, 3] = torch.tensor(self.rotation), torch.tensor(self.position)
        focal = 0.5 * self.height / math.tan(self.field_of_view / 2)
        intrinsics = torch.tensor([[focal, focal, self.width / 2, self.height / 2]])
        return Cameras(pose[None], intrinsics, self.height, self.width).resized(height, width)


@dataclass(frozen=True)
class Picture:
    """`depth` is measured along the optical axis, in scene-sphere units; `NOTHING` where the field is transparent."""

    color: UInt8[Array, "height width 3"]
    depth: Float[Array, "height width"]
    seconds: float  # that it took


@dataclass(frozen=True)
class Subject:
    """A field made ready to be drawn many times."""

    weights: FieldWeights
    background: tuple[float, float, float]
    occupancy: OccupancyGrid

    @staticmethod
    def of(field: SceneField) -> Subject:
        return Subject(field.weights, field.background, scene_occupancy(field.weights, GRID))


def draw_picture(
    subject: Subject, view: View, size: int, samples: int, before_chunk: Callable[[], None] = lambda: None
) -> Picture:
    """The subject from `view`, its longer side of `size` pixels. What `before_chunk` raises ends the work."""
    started = time.perf_counter()
    cameras = view.cameras(size)
    settings, background = RenderSettings(samples=samples, grid=GRID), torch.tensor(subject.background)
    seen = render_views(subject.weights, cameras, background, settings, subject.occupancy, before_chunk)
    depth = axial_depth(seen.depth, cameras)[0].numpy()
    color, depth = to_bytes(seen.color[0]), np.where(depth > 0, depth, NOTHING).astype(np.float32)
    return Picture(color, depth, time.perf_counter() - started)


def axial_depth(distance: Float[torch.Tensor, "view height width"], cameras: Cameras) -> Float[torch.Tensor, "view height width"]:
    """Distances along unit-length rays as depths along the optical axis: z = t / |((u - cx) / fx, (v - cy) / fy, 1)|."""
    fx, fy, cx, cy = (value[:, None, None] for value in cameras.intrinsics.unbind(-1))
    x = (torch.arange(cameras.width) + 0.5 - cx) / fx
    y = (torch.arange(cameras.height)[:, None] + 0.5 - cy) / fy
    return distance / (x * x + y * y + 1).sqrt()
