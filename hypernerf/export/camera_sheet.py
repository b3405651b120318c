"""A scene's cameras and what they should see, as a picture: from above, from the side, and the scene sphere over its images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from ..geometry import project
from ..types import Cameras, SceneTransform, SceneViews
from .sheet import GAP, GRAY, HEADER, to_bytes

CELL = 220
OVERLAYS = 3  # images a scene
AXES = (((220, 40, 40), "x"), ((40, 160, 40), "y"), ((50, 80, 230), "z"))
SPHERE = (255, 0, 200)
CAMERA = (40, 40, 40)
FIRST = (255, 130, 0)  # of the view drawn first, so that order shows


def camera_sheet(scenes: Sequence[tuple[SceneViews, SceneTransform]]) -> Image.Image:
    """A row for each scene and its sphere, in the scene's own coordinates."""
    columns = 2 + OVERLAYS
    height = CELL + 2 * HEADER + GAP
    sheet = Image.new("RGB", (columns * (CELL + GAP), len(scenes) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (views, sphere) in enumerate(scenes):
        y = number * height
        draw.text((4, y + 3), f"{views.scene_id}: {len(views)} cameras", fill="black")
        y += HEADER
        for place, (axes, title) in enumerate((((0, 1), "from above (x, y)"), ((0, 2), "from the side (x, z)"))):
            draw.text((place * (CELL + GAP) + 4, y + 3), title, fill=GRAY)
            sheet.paste(_plan(views.cameras, sphere, axes), (place * (CELL + GAP), y + HEADER))
        for place, view in enumerate(_spread(len(views), OVERLAYS)):
            x = (2 + place) * (CELL + GAP)
            draw.text((x + 4, y + 3), f"view {view}", fill=GRAY)
            sheet.paste(overlay(views, view, sphere), (x, y + HEADER))
    return sheet


def _spread(count: int, most: int) -> list[int]:
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})


def _plan(cameras: Cameras, sphere: SceneTransform, axes: tuple[int, int]) -> Image.Image:
    """Cameras as small pyramids, drawn along the third axis; the second of `axes` points up."""
    picture = Image.new("RGB", (CELL, CELL), (248, 248, 248))
    draw = ImageDraw.Draw(picture)
    center = torch.tensor(sphere.center)
    away = (cameras.positions - center).norm(dim=-1)
    scale = CELL / 2 * 0.86 / max(float(away.amax()), sphere.radius)

    def place(points: Float[Tensor, "point 3"]) -> list[tuple[float, float]]:
        flat = (points - center)[:, list(axes)] * scale
        return [(CELL / 2 + x, CELL / 2 - y) for x, y in flat.tolist()]

    r = sphere.radius * scale
    draw.ellipse((CELL / 2 - r, CELL / 2 - r, CELL / 2 + r, CELL / 2 + r), outline=SPHERE, width=2)
    for axis in axes:
        tip = center + sphere.radius * torch.eye(3)[axis]
        draw.line(place(torch.stack([center, tip])), fill=AXES[axis][0], width=2)
        draw.text(place(tip[None])[0], AXES[axis][1], fill=AXES[axis][0])
    for view in reversed(range(len(cameras))):
        apex, *corners = place(_frustum(cameras[view], 0.16 * CELL / 2 / scale))
        color = FIRST if view == 0 else CAMERA
        draw.polygon(corners, outline=color)
        for corner in corners:
            draw.line([apex, corner], fill=color)
    return picture


def _frustum(camera: Cameras, length: float) -> Float[Tensor, "point 3"]:
    """The camera's position and where its image's corners are seen, `length` in front of it."""
    fx, fy, cx, cy = camera.intrinsics.tolist()
    corners = [(u, v) for u, v in ((0, 0), (camera.width, 0), (camera.width, camera.height), (0, camera.height))]
    rays = torch.tensor([[(u - cx) / fx, (v - cy) / fy, 1.0] for u, v in corners]) * length
    pose = camera.camera_to_world
    return torch.cat([pose[None, :3, 3], rays @ pose[:3, :3].T + pose[:3, 3]])


def overlay(views: SceneViews, view: int, sphere: SceneTransform) -> Image.Image:
    """The image with the outline of the scene sphere, the world's axes inside it, and the mask's border."""
    cameras = views.cameras
    factor = CELL / max(cameras.height, cameras.width)
    size = (round(cameras.width * factor), round(cameras.height * factor))
    picture = Image.new("RGB", (CELL, CELL), "white")
    picture.paste(Image.fromarray(to_bytes(views.images[view])).resize(size, Image.Resampling.BICUBIC))
    draw = ImageDraw.Draw(picture)

    def place(points: Float[Tensor, "point 3"]) -> list[tuple[float, float]]:
        shares = project(points, cameras[view]) * torch.tensor(size)
        return [(x, y) for x, y in shares.tolist()]

    if views.masks is not None:
        _draw_border(draw, views.masks[view], factor)
    outline = sphere_outline(cameras.positions[view], sphere)
    if outline is not None:
        draw.line(place(outline), fill=SPHERE, width=2)
    center = torch.tensor(sphere.center)
    for axis, (color, name) in enumerate(AXES):
        tip = center + 0.5 * sphere.radius * torch.eye(3)[axis]
        draw.line(place(torch.stack([center, tip])), fill=color, width=2)
        draw.text(place(tip[None])[0], name, fill=color)
    return picture


def _draw_border(draw: ImageDraw.ImageDraw, mask: Float[Tensor, "height width"], factor: float) -> None:
    """A dot at every pixel of the object that has a neighbor outside of it."""
    inside = mask > 0.5
    eroded = -torch.nn.functional.max_pool2d(-inside[None].float(), 3, 1, 1)[0] > 0.5
    for row, column in (inside & ~eroded).nonzero().tolist():
        x, y = (column + 0.5) * factor, (row + 0.5) * factor
        draw.point((x, y), fill=(0, 160, 160))


def sphere_outline(eye: Float[Tensor, " 3"], sphere: SceneTransform, count: int = 73) -> Float[Tensor, "point 3"] | None:
    """The circle along which lines from `eye` touch the sphere; None if `eye` is inside.

    With d = |eye - c| it lies r^2 / d from the center toward the eye, and has radius r sqrt(1 - r^2 / d^2).
    """
    center, r = torch.tensor(sphere.center), sphere.radius
    toward = eye - center
    d = float(toward.norm())
    if d <= r:
        return None
    toward = toward / d
    first = torch.linalg.cross(toward, torch.eye(3)[int(toward.abs().argmin())])
    first = first / first.norm()
    second = torch.linalg.cross(toward, first)
    angle = torch.linspace(0, 2 * math.pi, count)[:, None]
    return center + r * r / d * toward + r * math.sqrt(1 - (r / d) ** 2) * (angle.cos() * first + angle.sin() * second)
