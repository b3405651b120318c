"""Rigid transforms, changes of camera axes, and the similarity that brings a scene into the unit sphere."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..types import Cameras, InputError, SceneTransform


def from_opengl(camera_to_world: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """OpenGL camera axes (x right, y up, z backward) to OpenCV axes (x right, y down, z forward): M diag(1, -1, -1, 1)."""
    flip = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=camera_to_world.dtype, device=camera_to_world.device)
    return camera_to_world * flip


to_opengl = from_opengl  # the change of axes is its own inverse


def is_rigid(matrices: Float[Tensor, "*batch 4 4"], tolerance: float = 1e-3) -> Bool[Tensor, "*batch"]:
    """Whether each matrix is finite and a proper rotation with a translation: R R^T = 1, det R = 1, last row 0 0 0 1."""
    finite = torch.isfinite(matrices).flatten(-2).all(-1)
    safe = torch.where(finite[..., None, None], matrices, torch.zeros_like(matrices)).double()
    rotation = safe[..., :3, :3]
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    orthonormal = (rotation @ rotation.transpose(-1, -2) - identity).abs().flatten(-2).amax(-1) < tolerance
    proper = torch.linalg.det(rotation) > 0
    last_row = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=safe.dtype, device=safe.device)
    affine = (safe[..., 3, :] - last_row).abs().amax(-1) < tolerance
    return finite & orthonormal & proper & affine


def normalize_cameras(cameras: Cameras, transform: SceneTransform) -> Cameras:
    """The same cameras in scene-sphere coordinates: positions shifted and scaled, rotations and pixels untouched."""
    pose = cameras.camera_to_world.clone()
    center = torch.tensor(transform.center, dtype=pose.dtype, device=pose.device)
    pose[..., :3, 3] = (pose[..., :3, 3] - center) / transform.radius
    return replace(cameras, camera_to_world=pose)


def nearest_point(origins: Float[Tensor, "ray 3"], directions: Float[Tensor, "ray 3"]) -> Float[Tensor, " 3"]:
    """The point nearest to all lines along unit `directions`, in the least-squares sense: sum_i (1 - d_i d_i^T) (x - o_i) = 0.

    Raises:
        InputError: the lines are parallel, so that no point is nearest (one camera, or cameras side by side).
    """
    across = torch.eye(3, dtype=origins.dtype) - directions[:, :, None] * directions[:, None, :]
    system = across.mean(0)
    if torch.linalg.eigvalsh(system)[0] < 1e-4:
        raise InputError(
            "the cameras look in parallel, so the scene's center cannot be estimated: set source.center and source.radius"
        )
    return torch.linalg.solve(system, (across @ origins[:, :, None]).mean(0))[:, 0]


def estimate_scene_sphere(cameras: Cameras) -> SceneTransform:
    """The sphere that cameras [view] looking at an object suggest.

    The center is the point nearest to all optical axes (`nearest_point`).
    The radius is the largest that all frusta still show whole there: min_i |x - o_i| sin(half the narrower field of view).

    Raises:
        InputError: the axes are parallel, so that no point is nearest (one camera, or cameras side by side).
    """
    pose = cameras.camera_to_world.double()
    origin = pose[..., :3, 3].reshape(-1, 3)
    center = nearest_point(origin, pose[..., :3, 2].reshape(-1, 3))
    fx, fy, cx, cy = cameras.intrinsics.double().reshape(-1, 4).unbind(-1)
    margins = torch.stack([cx / fx, (cameras.width - cx) / fx, cy / fy, (cameras.height - cy) / fy])
    sine = margins.amin(0).atan().sin()
    radius = ((origin - center).norm(dim=-1) * sine).min()
    return SceneTransform(tuple(center.tolist()), float(radius))
