"""Making cameras: looking at a point, and going around it; and where points appear in them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..types import Cameras


def look_at(
    positions: Float[Tensor, "*batch 3"], target: Float[Tensor, " 3"], up: Float[Tensor, " 3"]
) -> Float[Tensor, "*batch 4 4"]:
    """Camera-to-world matrices (OpenCV axes) of cameras at `positions` that look at `target` with `up` upwards in the image.

    A camera looking straight along `up` has no defined roll; another axis then takes the place of `up`.
    """
    forward = torch.nn.functional.normalize(target - positions, dim=-1)
    right = torch.linalg.cross(forward, up.expand_as(forward))
    spare = torch.linalg.cross(forward, up.roll(1).expand_as(forward))
    right = torch.where(right.norm(dim=-1, keepdim=True) > 1e-6, right, spare)
    right = torch.nn.functional.normalize(right, dim=-1)
    down = torch.linalg.cross(forward, right)
    matrix = torch.zeros(*positions.shape[:-1], 4, 4, dtype=positions.dtype, device=positions.device)
    matrix[..., :3, :] = torch.stack([right, down, forward, positions], dim=-1)
    matrix[..., 3, 3] = 1.0
    return matrix


def orbit_cameras(
    count: int,
    *,
    distance: float,
    elevation_degrees: float,
    size: tuple[int, int],
    field_of_view_degrees: float,
    up: Float[Tensor, " 3"],
    target: Float[Tensor, " 3"] | None = None,
) -> Cameras:
    """`count` cameras evenly around `target` (default: the origin), `distance` away, `size` = (height, width) pixels.

    The field of view is the angle across the image's shorter side. The first camera's azimuth is 0; they turn about `up`.
    """
    target = torch.zeros(3) if target is None else target
    up = torch.nn.functional.normalize(up, dim=0)
    first = torch.nn.functional.normalize(torch.linalg.cross(up, up.roll(1)), dim=0)
    second = torch.linalg.cross(up, first)
    azimuth = torch.arange(count) * (2 * math.pi / max(count, 1))
    elevation = math.radians(elevation_degrees)
    around = azimuth.cos()[:, None] * first + azimuth.sin()[:, None] * second
    positions = target + distance * (math.cos(elevation) * around + math.sin(elevation) * up)
    height, width = size
    focal = 0.5 * min(height, width) / math.tan(math.radians(field_of_view_degrees) / 2)
    intrinsics = torch.tensor([focal, focal, width / 2, height / 2]).expand(count, 4)
    return Cameras(look_at(positions, target, up), intrinsics, height, width)


def projections(cameras: Cameras) -> Float[Tensor, "*batch 3 4"]:
    """Matrices that take points (x, y, z, 1) to (u depth, v depth, depth), u and v as `project` gives them."""
    rotation, position = cameras.camera_to_world[..., :3, :3], cameras.camera_to_world[..., :3, 3:]
    fx, fy, cx, cy = cameras.intrinsics[..., None].unbind(-2)
    right, down, forward = rotation.unbind(-1)
    # K [R^T | -R^T p] in shares of the image
    rows = torch.stack(
        [(fx * right + cx * forward) / cameras.width, (fy * down + cy * forward) / cameras.height, forward], dim=-2
    )
    return torch.cat([rows, -rows @ position], dim=-1)


def project(points: Float[Tensor, "point 3"], cameras: Cameras) -> Float[Tensor, "*batch point 2"]:
    """Where points appear: (x, y) as a share of image width and height, (0, 0) the upper left corner, (1, 1) the lower right.

    Points behind a camera land far outside its image.
    """
    rows, shift = projections(cameras).split([3, 1], dim=-1)
    x, y, depth = (rows @ points.T + shift).unbind(-2)
    shares = torch.stack([x, y], dim=-1) / depth.clamp_min(1e-3)[..., None]
    return torch.where((depth > 1e-3)[..., None], shares, 9.0)
