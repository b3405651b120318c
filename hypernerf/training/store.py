"""The scenes in memory, and the batches drawn from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..geometry import camera_rays, estimate_scene_sphere, normalize_cameras
from ..types import Cameras, ContextViews, InputError, RayBundle, SceneBatch, SceneTransform, SceneViews
from .hull import draw_hull_points, pack_hull, unpack_hull, visual_hull


@dataclass(frozen=True)
class StoredScene:
    """One scene as training keeps it: 8-bit images (a quarter of the memory), cameras in scene-sphere coordinates."""

    scene_id: str
    images: UInt8[Tensor, "view height width 3"]
    masks: UInt8[Tensor, "view height width"] | None
    cameras: Cameras
    background: Float[Tensor, 3]
    hull: UInt8[Tensor, bytes] | None = None  # as `pack_hull` gives it, where training asks for it

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index) -> Float[Tensor, "*view height width 3"]:
        return self.images[index].float() / 255


def store_scene(views: SceneViews) -> StoredScene:
    """`views` in 8 bits (exact for 8-bit sources), cameras as they are."""
    masks = None if views.masks is None else (views.masks * 255).round().to(torch.uint8)
    return StoredScene(views.scene_id, (views.images * 255).round().to(torch.uint8), masks, views.cameras, views.background)


def normalized(scenes: Iterable[StoredScene], transform: SceneTransform) -> list[StoredScene]:
    """The scenes with their cameras brought into the scene sphere."""
    return [replace(scene, cameras=normalize_cameras(scene.cameras, transform)) for scene in scenes]


def with_hulls(scenes: Iterable[StoredScene]) -> list[StoredScene]:
    """The scenes with their visual hulls, where they have masks; about 10 ms a scene of 24 views."""
    return [
        scene if scene.masks is None else replace(scene, hull=pack_hull(visual_hull(scene.masks, scene.cameras)))
        for scene in scenes
    ]


def shared_sphere(scenes: list[StoredScene], most: int = 64) -> SceneTransform:
    """One sphere for a whole collection, from the cameras of up to `most` of its scenes (training scenes only)."""
    chosen = scenes[:: max(1, len(scenes) // most)]
    spheres = [estimate_scene_sphere(scene.cameras) for scene in chosen]
    x, y, z = np.median([sphere.center for sphere in spheres], axis=0).tolist()
    return SceneTransform((x, y, z), float(np.median([sphere.radius for sphere in spheres])))


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


@dataclass(frozen=True)
class BatchConfig:
    scenes: int = 64  # many scenes and few rays each: what the hypernetwork learns from is the variety of scenes
    rays: int = 64  # a scene
    views: int = 4  # a scene's rays come from this many of its views
    context: tuple[int, int] = (1, 3)  # fewest and most context views; drawn anew for each step
    foreground: float = 0.5  # share of rays on the object, where masks tell
    hull_points: int = 256  # a scene; see `LossConfig.hull`

    def __post_init__(self) -> None:
        low, high = self.context
        if not 1 <= low <= high:
            raise InputError(f"train.batch.context must be (fewest, most) with 1 <= fewest <= most, not {self.context}")
        if min(self.scenes, self.rays, self.views, self.hull_points) < 1 or self.rays % self.views:
            raise InputError("train.batch: scenes, rays, views and hull_points must be positive, and rays divide by views")
        if not 0 <= self.foreground <= 1:
            raise InputError(f"train.batch.foreground is a share in 0..1, not {self.foreground}")


def sample_batch(scenes: list[StoredScene], config: BatchConfig, seed: int, step: int) -> SceneBatch:
    """The batch of one step: a pure function of its arguments, so that a resumed run sees what it would have seen."""
    rng = np.random.default_rng([seed, step])
    chosen = rng.choice(len(scenes), config.scenes, replace=len(scenes) < config.scenes)
    context_count = int(rng.integers(config.context[0], config.context[1] + 1))
    parts = [_draw_scene(scenes[i], config, context_count, rng) for i in chosen]
    context, cameras, rays, colors, masks = zip(*parts, strict=True)
    hulls = [hull for hull in (scenes[i].hull for i in chosen) if hull is not None]
    known = len(hulls) == len(chosen)
    drawn = [draw_hull_points(unpack_hull(hull), config.hull_points, rng) for hull in hulls]
    return SceneBatch(
        context=ContextViews(torch.stack(context), stack_cameras(cameras), torch.stack([scenes[i].background for i in chosen])),
        target_rays=RayBundle(torch.stack([r.origins for r in rays]), torch.stack([r.directions for r in rays])),
        target_colors=torch.stack(colors),
        target_masks=None if any(mask is None for mask in masks) else torch.stack(masks),
        hull_points=torch.stack([points for points, _ in drawn]) if known else None,
        hull_inside=torch.stack([inside for _, inside in drawn]) if known else None,
    )


def _draw_scene(scene: StoredScene, config: BatchConfig, context_count: int, rng: np.random.Generator):
    """Context images and cameras, and target rays with their colors and masks, of one scene."""
    context = rng.choice(len(scene), context_count, replace=len(scene) < context_count)
    targets = rng.choice(len(scene), config.views, replace=len(scene) < config.views)
    pixels = np.stack([_draw_pixels(scene, view, config.rays // config.views, config.foreground, rng) for view in targets])
    flat = torch.from_numpy(pixels)
    rays = camera_rays(scene.cameras[targets], flat)
    rays = RayBundle(rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3))
    picked = torch.from_numpy(targets)[:, None]
    colors = scene.images.flatten(1, 2)[picked, flat].reshape(-1, 3).float() / 255
    masks = None if scene.masks is None else scene.masks.flatten(1)[picked, flat].reshape(-1).float() / 255
    return scene.image(context), scene.cameras[context], rays, colors, masks


def _draw_pixels(scene: StoredScene, view: int, count: int, foreground: float, rng: np.random.Generator) -> np.ndarray:
    """Flat pixel indices of one view: a share on the object, the rest anywhere."""
    pixels = rng.integers(0, scene.images.shape[1] * scene.images.shape[2], count)
    if scene.masks is not None:
        inside = np.flatnonzero(scene.masks[view].numpy())
        share = round(count * foreground)
        if len(inside) and share:
            pixels[:share] = rng.choice(inside, share)
    return pixels
