"""Views of a mirrored scene: as real as those of the scene itself."""

from __future__ import annotations

from dataclasses import replace

from ..types import Cameras, ContextViews


def mirrored_cameras(cameras: Cameras, axis: int) -> Cameras:
    """Cameras whose images, turned left for right, show the scene mirrored across the plane through the origin normal to `axis`.

    Axes are 0, 1, 2: x, y, z.
    With the reflections M of space and F of a camera's x axis, a pose P becomes M P F, which is rigid again, and cx becomes
    width - cx: what lay in column j along a ray lies in column width - 1 - j along the mirrored ray.
    """
    pose, lens = cameras.camera_to_world.clone(), cameras.intrinsics.clone()
    pose[..., axis, :] *= -1.0
    pose[..., 0] *= -1.0
    lens[..., 2] = cameras.width - lens[..., 2]
    return replace(cameras, camera_to_world=pose, intrinsics=lens)


def mirrored_views(context: ContextViews, axis: int) -> ContextViews:
    """What `mirrored_cameras` see. Of a scene that is symmetric across that plane they are further views."""
    return replace(context, images=context.images.flip(-2), cameras=mirrored_cameras(context.cameras, axis))
