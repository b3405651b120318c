"""The scenes in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..geometry import estimate_scene_sphere, normalize_cameras
from ..types import Cameras, ContextViews, InputError, SceneTransform, SceneViews
from .evenly import evenly
from .hull import pack_hull, visual_hull


@dataclass(frozen=True)
class StoredScene:
    """One scene as training keeps it: 8-bit images (a quarter of the memory), cameras in scene-sphere coordinates."""

    scene_id: str
    images: UInt8[Tensor, "view height width 3"]
    masks: UInt8[Tensor, "view height width"] | None
    cameras: Cameras
    background: Float[Tensor, " 3"]
    hull: UInt8[Tensor, " bytes"] | None = None  # as `pack_hull` gives it, where training asks for it
    times: Float[Tensor, " view"] | None = None  # of scenes that move

    def __len__(self) -> int:
        return len(self.images)

    def views_at(self, time: float) -> list[int]:
        """Numbers of the views of that time; of all, if the scene stands still."""
        return [i for i in range(len(self)) if self.times is None or float(self.times[i]) == time]

    def image(self, index) -> Float[Tensor, "*view height width 3"]:
        return self.images[index].float() / 255


def store_scene(views: SceneViews) -> StoredScene:
    """`views` in 8 bits (exact for 8-bit sources), cameras as they are."""
    masks = None if views.masks is None else (views.masks * 255).round().to(torch.uint8)
    images = (views.images * 255).round().to(torch.uint8)
    return StoredScene(views.scene_id, images, masks, views.cameras, views.background, times=views.times)


def normalized(scenes: Iterable[StoredScene], transform: SceneTransform) -> list[StoredScene]:
    """The scenes with their cameras brought into the scene sphere."""
    return [replace(scene, cameras=normalize_cameras(scene.cameras, transform)) for scene in scenes]


def with_hulls(scenes: Iterable[StoredScene]) -> list[StoredScene]:
    """The scenes with their visual hulls, where they have masks and stand still; about 10 ms a scene of 24 views."""

    def with_hull(scene: StoredScene) -> StoredScene:
        if scene.masks is None or scene.times is not None:
            return scene
        return replace(scene, hull=pack_hull(visual_hull(scene.masks, scene.cameras)))

    return [with_hull(scene) for scene in scenes]


def shared_sphere(scenes: list[StoredScene], most: int = 64) -> SceneTransform:
    """One sphere for a whole collection, from the cameras of up to `most` of its scenes (training scenes only).

    Raises:
        InputError: cameras of one of them look in parallel, so that it has no center.
    """
    spheres = [_own_sphere(scene) for scene in evenly(scenes, most)]
    x, y, z = np.median([sphere.center for sphere in spheres], axis=0).tolist()
    return SceneTransform((x, y, z), float(np.median([sphere.radius for sphere in spheres])))


def _own_sphere(scene: StoredScene) -> SceneTransform:
    try:
        return estimate_scene_sphere(scene.cameras)
    except InputError as error:
        raise InputError(f"{scene.scene_id}: {error}") from None


def shared_up(scenes: list[StoredScene]) -> tuple[float, float, float]:
    """What is up in the images on average: the nearest coordinate axis, if one is within 30 degrees."""
    mean = torch.cat([-scene.cameras.camera_to_world[:, :3, 1] for scene in scenes]).mean(0)
    direction = torch.nn.functional.normalize(mean, dim=0)
    axis = int(direction.abs().argmax())
    if direction[axis].abs() > 0.866:
        direction = torch.nn.functional.one_hot(torch.tensor(axis), 3) * direction[axis].sign()
    x, y, z = direction.tolist()
    return (x, y, z)


def stack_cameras(cameras: Sequence[Cameras]) -> Cameras:
    """Cameras of equal batch shape and image size, with a new first dimension."""
    return Cameras(
        torch.stack([c.camera_to_world for c in cameras]),
        torch.stack([c.intrinsics for c in cameras]),
        cameras[0].height,
        cameras[0].width,
    )


def context_views(scenes: Sequence[StoredScene], views: Sequence[int]) -> ContextViews:
    """The same views of several scenes."""
    chosen = list(views)
    return ContextViews(
        torch.stack([scene.image(chosen) for scene in scenes]),
        stack_cameras([scene.cameras[chosen] for scene in scenes]),
        torch.stack([scene.background for scene in scenes]),
    )
