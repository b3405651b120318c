"""Endless chairs, cars and lamps, made on the fly: the embedded scenes. Nothing is downloaded; seeds fix everything."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hypernerf.geometry import camera_rays
from hypernerf.types import Cameras, InputError, SceneViews, require_within

from .cache import cached_pixels, save_pixels
from .categories import CATEGORIES
from .moving import MOVING, TIMES, shapes_in_time
from .orbits import subpixel_rays, surrounding_cameras
from .shape import Shape
from .source import SPLITS, SourceConfig, Split, register_source

EDGE = 0.15  # difference of neighbors in color or mask above which a pixel is anti-aliased
VERSION = 4  # of the recipes: raise it when the same seed gives other pictures, so that caches are not mixed up


@dataclass(frozen=True)
class ProceduralConfig(SourceConfig):
    """Scenes are counted per split, over all categories together, which take turns."""

    center: tuple[float, float, float] | None = (0.0, 0.0, 0.0)
    radius: float | None = 1.0
    categories: tuple[str, ...] = ("chairs",)
    train_scenes: int = 600
    val_scenes: int = 16
    test_scenes: int = 32
    views: int = 24
    train_views: int | None = None  # of training scenes; None: as many as the others have
    size: int = 64  # pixels along a side
    seed: int = 0
    depths: bool = False  # keep exact depth too
    moving: bool = False  # wheels turn, arms swing: views take turns in time
    cache: str | None = None  # folder; None: $HYPERNERF_CACHE, else ~/.cache/hypernerf

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.categories if name not in CATEGORIES]
        if unknown or not self.categories:
            raise InputError(f"source.categories: choose among {', '.join(CATEGORIES)}, not {unknown or 'none'}")
        still = [name for name in self.categories if name not in MOVING]
        if self.moving and still:
            raise InputError(f"source.moving: {', '.join(still)} have no parts that move, only {' and '.join(MOVING)} do")
        scenes = (1, 10_000_000)
        views = (1, 10_000)
        limits = {"train_scenes": scenes, "val_scenes": scenes, "test_scenes": scenes, "views": views, "size": (1, 4096)}
        require_within("source", self, limits if self.train_views is None else {**limits, "train_views": views})

    def views_of(self, split: str) -> int:
        return self.train_views if split == "train" and self.train_views is not None else self.views


@register_source("procedural", ProceduralConfig)
class ProceduralSource:
    """Objects in the unit sphere, z up, seen from all sides at elevations between -10 and 60 degrees."""

    def __init__(self, config: ProceduralConfig) -> None:
        self.config = config
        root = config.cache or os.environ.get("HYPERNERF_CACHE") or Path.home() / ".cache" / "hypernerf"
        self.folders = {split: Path(root) / f"procedural-{_digest(config, split)}" for split in SPLITS}

    def scene_ids(self, split: Split) -> list[str]:
        count, names = getattr(self.config, f"{split}_scenes"), self.config.categories
        return [f"{split}-{names[i % len(names)]}-{i // len(names):05d}" for i in range(count)]

    def load(self, scene_id: str) -> SceneViews:
        split = scene_id.split("-", maxsplit=1)[0]
        size, views = self.config.size, self.config.views_of(split)
        cameras = surrounding_cameras(self._rng(scene_id, "cameras"), views, size)
        path = self.folders[split] / f"{scene_id}.npy"  # type: ignore[index]
        pixels, depths = cached_pixels(path, (views, size, size, 4)), None
        if pixels is None or self.config.depths:
            pixels, depths = self._render(scene_id, cameras)
            save_pixels(path, pixels)
        images = torch.from_numpy(pixels[..., :3]).float() / 255
        masks = torch.from_numpy(pixels[..., 3]).float() / 255
        return SceneViews(scene_id, cameras, images, torch.tensor(self.config.background), masks, depths, self._times(views))

    def shape(self, scene_id: str) -> Shape:
        """The exact object, in the same coordinates as the cameras; at time 0 if it moves."""
        return self._shapes(scene_id)[0]

    def _shapes(self, scene_id: str) -> list[Shape]:
        """At all times of the scene."""
        category = scene_id.split("-")[1]
        parts = CATEGORIES[category](self._rng(scene_id, "shape"))
        if not self.config.moving:
            return [Shape.fitted(parts)]
        return shapes_in_time(category, parts, [number / TIMES for number in range(TIMES)])

    def _times(self, views: int) -> torch.Tensor | None:
        return torch.arange(views) % TIMES / TIMES if self.config.moving else None

    def _rng(self, scene_id: str, purpose: str) -> np.random.Generator:
        split, category, number = scene_id.split("-")
        place = [SPLITS.index(split), list(CATEGORIES).index(category), int(number)]  # type: ignore[arg-type]
        return np.random.default_rng([self.config.seed, *place, ("shape", "cameras").index(purpose)])

    def _render(self, scene_id: str, cameras: Cameras) -> tuple[np.ndarray, torch.Tensor]:
        shapes, size = self._shapes(scene_id), (len(cameras), cameras.height, cameras.width)
        image, depth = np.empty((*size, 4), np.uint8), torch.empty(size)
        for number, shape in enumerate(shapes):
            its = slice(number, None, len(shapes))
            if len(cameras[its]):
                image[its], depth[its] = self._render_shape(shape, cameras[its])
        return image, depth

    def _render_shape(self, shape: Shape, cameras: Cameras) -> tuple[np.ndarray, torch.Tensor]:
        rays = camera_rays(cameras)
        origins, directions = rays.origins.reshape(-1, 3).numpy(), rays.directions.reshape(-1, 3).numpy()
        background = np.array(self.config.background, dtype=np.float32)

        def look(origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            hits = shape.cast(origins, directions)
            color = np.where(hits.mask[:, None], hits.color, background)
            return np.concatenate([color, hits.mask[:, None]], axis=1).astype(np.float32), hits.depth

        pixels, depth = look(origins, directions)
        size = (len(cameras), cameras.height, cameras.width)
        edges = np.flatnonzero(_edges(pixels.reshape(*size, 4)))
        rays = subpixel_rays(cameras, edges)
        several = look(rays.origins.reshape(-1, 3).numpy(), rays.directions.reshape(-1, 3).numpy())[0]
        pixels[edges] = several.reshape(len(edges), -1, 4).mean(1)
        image = (pixels * 255 + 0.5).astype(np.uint8).reshape(*size, 4)
        return image, torch.from_numpy(depth.astype(np.float32)).reshape(size)


def _digest(config: ProceduralConfig, split: str) -> str:
    """Of all that decides about the pixels of a scene of this name."""
    facts = {"views": config.views_of(split), "size": config.size, "seed": config.seed, "background": config.background}
    facts |= {"moving": TIMES} if config.moving else {}
    return hashlib.sha256(json.dumps([VERSION, facts], sort_keys=True).encode()).hexdigest()[:12]


def _edges(pixels: np.ndarray) -> np.ndarray:
    """Pixels [view, row, column] that differ from a neighbor in color or mask: those that deserve more than one ray."""
    result = np.zeros(pixels.shape[:3], dtype=bool)
    for axis in (1, 2):
        differs = (np.abs(np.diff(pixels, axis=axis)) > EDGE).any(-1)
        before, after = [slice(None)] * 3, [slice(None)] * 3
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        result[tuple(before)] |= differs
        result[tuple(after)] |= differs
    return result
