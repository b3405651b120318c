"""Batches: what is drawn from the scenes in memory for a step of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..geometry import camera_rays
from ..types import Cameras, ContextViews, InputError, RayBundle, SceneBatch
from .hull import draw_hull_points
from .mirror import mirror_scenes
from .pixels import DrawnPixels, draw_pixels, silhouette_edges
from .store import StoredScene, stack_cameras

AT_EDGE = 5 / 8  # of the rays on the object and at its silhouette: at the silhouette


@dataclass(frozen=True)
class BatchConfig:
    scenes: int = 64  # many scenes and few rays each: what the hypernetwork learns from is the variety of scenes
    rays: int = 64  # a scene
    views: int = 4  # a scene's rays come from this many of its views
    context: tuple[int, int] = (1, 3)  # fewest and most context views; drawn anew for each step
    foreground: float = 0.8  # share of rays on the object and at its silhouette, where masks tell; each counts the less for it
    hull_points: int = 256  # a scene; see `LossConfig.hull`
    swap_colors: bool = False  # red, green and blue of each scene change places at random: six times the scenes
    mirror: Literal["none", "x", "y", "z"] = "none"  # axis across which half of the scenes, at random, are mirrored

    def __post_init__(self) -> None:
        low, high = self.context
        if not 1 <= low <= high:
            raise InputError(f"train.batch.context must be (fewest, most) with 1 <= fewest <= most, not {self.context}")
        if min(self.scenes, self.rays, self.views, self.hull_points) < 1 or self.rays % self.views:
            raise InputError("train.batch: scenes, rays, views and hull_points must be positive, and rays divide by views")
        if not 0 <= self.foreground <= 1:
            raise InputError(f"train.batch.foreground is a share in 0..1, not {self.foreground}")


@dataclass(frozen=True)
class DrawnScene:
    """What one place (slot) of a batch shows of its scene: views, flat pixels of the target views, points, order of colors."""

    scene: StoredScene
    context: Int[np.ndarray, " view"]
    targets: Int[np.ndarray, " target"]  # of one moment, if the scene moves
    moment: float
    pixels: Int[np.ndarray, "target ray"]
    importance: Float[np.ndarray, "target ray"]
    hull: tuple[Float[Tensor, "point 3"], Float[Tensor, " point"]] | None  # points, and whether each is inside
    order: Int[np.ndarray, " 3"]
    mirrored: bool  # whether the batch shows all of it so


def draw_scene(scene: StoredScene, context: int, config: BatchConfig, rng: np.random.Generator) -> DrawnScene:
    """Everything random that a batch takes from one scene, of which so many `context` views are read."""
    moment = 0.0 if scene.times is None else float(rng.choice(scene.times.numpy()))
    read, targets = _draw_views(scene, context, rng, 0.0), _draw_views(scene, config.views, rng, moment)
    pixels = _draw_scene_pixels(scene, targets, config, rng)
    hull = None if scene.hull is None else draw_hull_points(scene.hull, config.hull_points, rng)
    order = rng.permutation(3) if config.swap_colors else np.arange(3)
    mirrored = config.mirror != "none" and bool(rng.random() < 0.5)
    numbers, importance = (np.stack([getattr(one, name) for one in pixels]) for name in ("pixels", "importance"))
    return DrawnScene(scene, read, targets, moment, numbers, importance, hull, order, mirrored)


def assemble(drawn: Sequence[DrawnScene], masks: bool, hulls: bool) -> SceneBatch:
    """The batch of what was drawn. Masks and hulls are for all of a step's scenes or for none: whoever knows them all says."""
    chosen, targets = [d.scene for d in drawn], [d.targets for d in drawn]
    pixels, order = (torch.from_numpy(np.stack([getattr(d, name) for d in drawn])) for name in ("pixels", "order"))
    rays = camera_rays(_stacked_cameras(chosen, targets), pixels)
    images = torch.stack([d.scene.images[d.context] for d in drawn]).float() / 255
    known = [d.hull for d in drawn if d.hull is not None] if hulls else []
    return SceneBatch(
        context=ContextViews(
            _reordered(images, order),
            _stacked_cameras(chosen, [d.context for d in drawn]),
            _reordered(torch.stack([scene.background for scene in chosen]), order),
        ),
        target_rays=RayBundle(rays.origins.flatten(1, 2), rays.directions.flatten(1, 2)),
        target_colors=_reordered(_values_at([scene.images for scene in chosen], targets, pixels), order),
        target_importance=torch.from_numpy(np.stack([d.importance for d in drawn])).flatten(1, 2),
        target_masks=_values_at([scene.masks for scene in chosen if scene.masks is not None], targets, pixels) if masks else None,
        hull_points=torch.stack([points for points, _ in known]) if hulls else None,
        hull_inside=torch.stack([inside for _, inside in known]) if hulls else None,
        scene_ids=tuple(scene.scene_id for scene in chosen),
        times=None if all(scene.times is None for scene in chosen) else torch.tensor([d.moment for d in drawn]),
    )


def chosen_scenes(scenes: int, config: BatchConfig, seed: int, step: int) -> tuple[Int[np.ndarray, " slot"], int]:
    """Which of so many scenes has which place (slot) in a step's batch, and how many context views are read of each."""
    rng = np.random.default_rng([seed, step])
    chosen = rng.choice(scenes, config.scenes, replace=scenes < config.scenes)
    return chosen, int(rng.integers(config.context[0], config.context[1] + 1))


def slot_generator(seed: int, step: int, slot: int, purpose: int = 0) -> np.random.Generator:
    """Of what is drawn for one place of a step's batch. Zeros at the end of a seed do not count, hence 1 + slot."""
    return np.random.default_rng([seed, step, 1 + slot, purpose])


def sample_batch(
    scenes: Sequence[StoredScene], config: BatchConfig, seed: int, step: int, slots: Sequence[int] | None = None
) -> SceneBatch:
    """The batch of one step: a pure function of its arguments, so that a resumed run sees what it would have seen.

    Each place (slot) of it is one as well: of those in `slots` (None: all), the same whoever else draws the others.
    """
    chosen, context = chosen_scenes(len(scenes), config, seed, step)
    every = [scenes[i] for i in chosen]
    drawn = [
        draw_scene(every[slot], context, config, slot_generator(seed, step, slot))
        for slot in (range(config.scenes) if slots is None else slots)
    ]
    masks, hulls = (all(getattr(scene, name) is not None for scene in every) for name in ("masks", "hull"))
    batch = assemble(drawn, masks, hulls)
    if config.mirror == "none":
        return batch
    return mirror_scenes(batch, torch.tensor([d.mirrored for d in drawn]), "xyz".index(config.mirror))


def draw_jitter(seed: int, step: int, slots: Sequence[int], rays: int, samples: int) -> Float[Tensor, "slot ray sample"]:
    """Where in its stretch of the ray, in [0, 1), each sample of a step lies; of each slot by itself, as in `sample_batch`."""
    shape = (rays, samples)
    return torch.from_numpy(np.stack([slot_generator(seed, step, slot, 1).random(shape, np.float32) for slot in slots]))


def _reordered(values: Float[Tensor, "scene *place 3"], order: Int[Tensor, "scene 3"]) -> Float[Tensor, "scene *place 3"]:
    """The last dimension in each scene's own order."""
    return torch.gather(values, -1, order.reshape(len(order), *[1] * (values.ndim - 2), 3).expand_as(values))


def _draw_views(scene: StoredScene, count: int, rng: np.random.Generator, moment: float) -> Int[np.ndarray, " view"]:
    """Of a scene that moves, views of one moment."""
    views = np.arange(len(scene)) if scene.times is None else np.array(scene.views_at(moment))
    return rng.choice(views, count, replace=len(views) < count)


def _stacked_cameras(scenes: Sequence[StoredScene], views: Sequence[np.ndarray]) -> Cameras:
    return stack_cameras([scene.cameras[chosen] for scene, chosen in zip(scenes, views, strict=True)])


def _values_at(images: Sequence[Tensor], views: Sequence[np.ndarray], pixels: Tensor) -> Float[Tensor, "scene ray *channel"]:
    """Values in [0, 1] of each scene's 8-bit `images` at flat `pixels` [scene, view, ray] of its `views`."""
    picked = [
        image.flatten(1, 2)[torch.from_numpy(chosen)[:, None], where]
        for image, chosen, where in zip(images, views, pixels, strict=True)
    ]
    return torch.stack(picked).flatten(1, 2).float() / 255


def _draw_scene_pixels(scene: StoredScene, views: np.ndarray, config: BatchConfig, rng: np.random.Generator) -> list[DrawnPixels]:
    """Of each of the views."""
    count, pixels = config.rays // config.views, scene.images[0, ..., 0].numel()
    if scene.masks is None:
        return [draw_pixels([], pixels, count, rng) for _ in views]
    inside = scene.masks[torch.from_numpy(views)].numpy() > 0
    shares = (config.foreground * AT_EDGE, config.foreground * (1 - AT_EDGE))
    pairs = zip(silhouette_edges(inside), inside, strict=True)
    return [draw_pixels(list(zip((one.ravel() for one in pair), shares, strict=True)), pixels, count, rng) for pair in pairs]
