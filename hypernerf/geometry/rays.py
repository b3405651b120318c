"""Rays of cameras, and where they meet the scene sphere."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..types import Cameras, RayBundle


def camera_rays(cameras: Cameras, pixels: Int[Tensor, "*batch ray"] | None = None) -> RayBundle:
    """Rays through pixel centers, in world coordinates.

    `pixels` are flat indices (row * width + column) for each camera of the batch; without them every pixel is taken, and
    the result has shape [*batch, height, width, 3].
    """
    intrinsics, pose = cameras.intrinsics, cameras.camera_to_world
    every = pixels is None
    if pixels is None:
        pixels = torch.arange(cameras.height * cameras.width, device=intrinsics.device)
    column = pixels % cameras.width + 0.5
    row = torch.div(pixels, cameras.width, rounding_mode="floor") + 0.5
    fx, fy, cx, cy = (value[..., None] for value in intrinsics.unbind(-1))
    x, y = (column - cx) / fx, (row - cy) / fy
    # by hand: of matrices this small a batched product alone takes longer than all of this
    right, down, forward = (axis.unbind(-1) for axis in pose[..., None, :3, :3].unbind(-1))
    parts = [r * x + d * y + f for r, d, f in zip(right, down, forward, strict=True)]
    length = (parts[0].square() + parts[1].square() + parts[2].square()).sqrt()
    directions = torch.stack([part / length for part in parts], dim=-1)
    origins = pose[..., None, :3, 3].expand_as(directions)
    if every:
        shape = (*directions.shape[:-2], cameras.height, cameras.width, 3)
        return RayBundle(origins.reshape(shape), directions.reshape(shape))
    return RayBundle(origins, directions)


def intersect_sphere(rays: RayBundle, radius: float = 1.0) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Distances (near, far) between which each ray is inside the sphere about the origin, 0 <= near <= far.

    Solves |o + t d|^2 = r^2 for |d| = 1. A ray that misses the sphere, or has left it behind, gets near = far.
    """
    along = (rays.origins * rays.directions).sum(-1)
    closest = rays.origins - along[..., None] * rays.directions
    half_chord = (radius**2 - (closest * closest).sum(-1)).clamp_min(0.0).sqrt()
    near = (-along - half_chord).clamp_min(0.0)
    return near, torch.maximum(-along + half_chord, near)


def ray_points(rays: RayBundle, distances: Float[Tensor, "*batch sample"]) -> Float[Tensor, "*batch sample 3"]:
    """The points o + t d. Not differentiable: cameras are given."""
    points = distances.new_empty(*distances.shape, 3)
    for axis in range(3):  # a third of the time of one product over a last dimension of 3
        torch.addcmul(rays.origins[..., axis, None], rays.directions[..., axis, None], distances, out=points[..., axis])
    return points
