"""Scenes whose tool chose origin, scale and axes (COLMAP): brought upright into the scene sphere, each by itself.

Which side is the front stays unknown: a model that learned a category in one orientation must be lucky, or be asked for
`source.up` and turned views.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.geometry import camera_rays, estimate_scene_sphere, nearest_point
from hypernerf.types import Cameras, InputError, SceneTransform, SceneViews

from .source import Reading, SceneError, check_cameras

FILLED = 0.95  # objects that we draw reach so far into the scene sphere


def object_sphere(views: SceneViews) -> SceneTransform:
    """A sphere around what the masks show; without masks, the one that the cameras suggest.

    The center is nearest to the rays through the masks' centers. The radius is the least for which the sphere's outline
    holds every mask; a silhouette that the image's border cuts off makes it too small.

    Raises:
        InputError: the cameras look in parallel, or all masks are empty.
    """
    if views.masks is None:
        return estimate_scene_sphere(views.cameras)
    shown = [int(view) for view in (views.masks.flatten(1).amax(1) > 0.5).nonzero()]
    if not shown:
        raise InputError("all masks are empty: white is the object, black what is around it")
    directions = [_mask_directions(views, view) for view in shown]
    origins = views.cameras.positions[shown].double()
    axes = torch.stack([torch.nn.functional.normalize(rays.mean(0), dim=0) for rays in directions])
    center = nearest_point(origins, axes)
    reach = []
    for origin, rays in zip(origins, directions, strict=True):
        toward = center - origin
        distance = toward.norm()
        cosine = (rays @ (toward / distance)).amin().clamp(0, 1)
        reach.append(distance * (1 - cosine**2).sqrt())
    x, y, z = center.tolist()
    return SceneTransform((x, y, z), float(torch.stack(reach).amax()) / FILLED)


def _mask_directions(views: SceneViews, view: int) -> Float[Tensor, "ray 3"]:
    assert views.masks is not None
    pixels = (views.masks[view].flatten() > 0.5).nonzero()[:, 0]
    return camera_rays(views.cameras[view], pixels).directions.double()


def aligned(views: SceneViews, reading: Reading) -> SceneViews:
    """The scene moved, turned and scaled so that its own sphere is the configured one, and what is up in its images is up.

    Raises:
        SceneError: the cameras are none, or do not tell where the object is.
    """
    check_cameras(views.scene_id, views.cameras)
    target = reading.sphere or SceneTransform()
    try:
        own = object_sphere(views)
    except InputError as error:
        raise SceneError(f"{views.scene_id}: {error}") from None
    pose = views.cameras.camera_to_world.double()
    seen_up = upright(pose[:, :3, :3])
    up = torch.tensor(reading.up or (0.0, 0.0, 1.0)).double()
    turn = rotation_between(seen_up, torch.nn.functional.normalize(up, dim=0))
    result = pose.clone()
    result[:, :3, :3] = turn @ pose[:, :3, :3]
    offset = (pose[:, :3, 3] - torch.tensor(own.center).double()) * (target.radius / own.radius)
    result[:, :3, 3] = offset @ turn.T + torch.tensor(target.center).double()
    depths = None if views.depths is None else views.depths * (target.radius / own.radius)
    cameras = Cameras(result.float(), views.cameras.intrinsics, views.cameras.height, views.cameras.width)
    return replace(views, cameras=cameras, depths=depths)


def upright(axes: Float[Tensor, "view 3 3"]) -> Float[Tensor, " 3"]:
    """What is up in the images: most nearly across every camera's right, since people seldom tilt a camera sideways.

    That is the eigenvector of the least eigenvalue of mean_i r_i r_i^T. Cameras side by side, whose r_i are all alike, leave it
    open: the mean of what is up in the images then has to do.
    """
    right, mean = axes[:, :, 0], torch.nn.functional.normalize(-axes[:, :, 1].mean(0), dim=0)
    values, vectors = torch.linalg.eigh((right[:, :, None] * right[:, None, :]).mean(0))
    if values[1] < 0.05:
        return mean
    return vectors[:, 0] if float(vectors[:, 0] @ mean) > 0 else -vectors[:, 0]


def rotation_between(a: Float[Tensor, " 3"], b: Float[Tensor, " 3"]) -> Float[Tensor, "3 3"]:
    """The least rotation R with R a = b, for unit a and b: 1 + [v] + [v]^2 / (1 + a.b), v = a x b; half a turn if b = -a."""
    cosine = float(a @ b)
    if cosine < -1 + 1e-9:
        axis = torch.linalg.cross(a, torch.eye(3, dtype=a.dtype)[int(a.abs().argmin())])
        axis = axis / axis.norm()
        return 2 * axis[:, None] * axis[None, :] - torch.eye(3, dtype=a.dtype)
    x, y, z = torch.linalg.cross(a, b).tolist()
    skew = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=a.dtype)
    return torch.eye(3, dtype=a.dtype) + skew + skew @ skew / (1 + cosine)
