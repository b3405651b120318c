"""Views of a scene file, from cameras in the user's own units and axes."""

from __future__ import annotations

import torch

from ..fields import SceneField
from ..geometry import normalize_cameras, orbit_cameras
from ..types import Cameras, RenderOutput
from .renderer import RenderSettings, render_views


def scene_orbit(
    scene: SceneField, count: int = 36, size: tuple[int, int] = (128, 128), elevation_degrees: float = 25.0
) -> Cameras:
    """Cameras [view] on a circle around the scene, in the user's units and axes, as far away as those it was read from.

    Args:
        size: pixels, height and width.
        elevation_degrees: above the horizon, which is perpendicular to the scene's up axis.
    """
    return orbit_cameras(
        count, distance=scene.camera_distance * scene.transform.radius, elevation_degrees=elevation_degrees, size=size,
        field_of_view_degrees=scene.field_of_view_degrees, up=torch.tensor(scene.up), target=torch.tensor(scene.transform.center),
    )  # fmt: skip


def render_scene(scene: SceneField, cameras: Cameras, settings: RenderSettings = RenderSettings()) -> RenderOutput:
    """What cameras [view] in the user's units and axes see of a scene, on the CPU.

    Returns:
        color [view, height, width, 3] over the scene's background, opacity and depth [view, height, width]; depth in radii
        of the scene sphere.
    """
    inside = normalize_cameras(cameras, scene.transform)
    return render_views(scene.weights, inside, torch.tensor(scene.background), settings)
