"""Endless chairs, cars and lamps, made on the fly: the embedded scenes. Nothing is downloaded; seeds fix everything."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from hypernerf.geometry import camera_rays, look_at
from hypernerf.types import Cameras, InputError, SceneViews

from .categories import CATEGORIES
from .shape import Shape
from .source import SPLITS, SourceConfig, Split, register_source

FIELD_OF_VIEW_DEGREES = 45.0
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # successive views lie far apart in azimuth, however many are taken
VERSION = 1  # of the recipes: raise it when the same seed gives other pictures, so that caches are not mixed up


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
    size: int = 64  # pixels along a side
    seed: int = 0
    depths: bool = False  # keep exact depth too
    cache: str | None = None  # folder; None: $HYPERNERF_CACHE, else ~/.cache/hypernerf

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.categories if name not in CATEGORIES]
        if unknown or not self.categories:
            raise InputError(f"source.categories: choose among {', '.join(CATEGORIES)}, not {unknown or 'none'}")
        for name in ("train_scenes", "val_scenes", "test_scenes", "views", "size"):
            if getattr(self, name) < 1:
                raise InputError(f"source.{name} must be at least 1, not {getattr(self, name)}")


@register_source("procedural", ProceduralConfig)
class ProceduralSource:
    """Objects in the unit sphere, z up, seen from all sides at elevations between -10 and 60 degrees."""

    def __init__(self, config: ProceduralConfig) -> None:
        self.config = config
        root = config.cache or os.environ.get("HYPERNERF_CACHE") or Path.home() / ".cache" / "hypernerf"
        facts = {name: value for name, value in asdict(config).items() if name in ("views", "size", "seed", "background")}
        key = hashlib.sha256(json.dumps([VERSION, facts], sort_keys=True).encode()).hexdigest()[:12]
        self.folder = Path(root) / f"procedural-{key}"

    def scene_ids(self, split: Split) -> list[str]:
        count, names = getattr(self.config, f"{split}_scenes"), self.config.categories
        return [f"{split}-{names[i % len(names)]}-{i // len(names):05d}" for i in range(count)]

    def load(self, scene_id: str) -> SceneViews:
        cameras = _cameras(self._rng(scene_id, "cameras"), self.config.views, self.config.size)
        path = self.folder / f"{scene_id}.npy"
        pixels, depths = self._cached(path), None
        if pixels is None or self.config.depths:
            pixels, depths = self._render(scene_id, cameras)
            _save(path, pixels)
        images = torch.from_numpy(pixels[..., :3]).float() / 255
        masks = torch.from_numpy(pixels[..., 3]).float() / 255
        return SceneViews(scene_id, cameras, images, torch.tensor(self.config.background), masks, depths)

    def shape(self, scene_id: str) -> Shape:
        """The exact object, in the same coordinates as the cameras."""
        category = scene_id.split("-")[1]
        return Shape.fitted(CATEGORIES[category](self._rng(scene_id, "shape")))

    def _rng(self, scene_id: str, purpose: str) -> np.random.Generator:
        split, category, number = scene_id.split("-")
        place = [SPLITS.index(split), list(CATEGORIES).index(category), int(number)]  # type: ignore[arg-type]
        return np.random.default_rng([self.config.seed, *place, ("shape", "cameras").index(purpose)])

    def _cached(self, path: Path) -> np.ndarray | None:
        """Cached pixels [view, height, width, 4] (color, mask); None if there are none or they are not whole."""
        try:
            pixels = np.load(path)
        except (OSError, ValueError, EOFError):
            return None
        return pixels if pixels.shape == (self.config.views, self.config.size, self.config.size, 4) else None

    def _render(self, scene_id: str, cameras: Cameras) -> tuple[np.ndarray, torch.Tensor]:
        rays = camera_rays(cameras)
        origins, directions = rays.origins.reshape(-1, 3).numpy(), rays.directions.reshape(-1, 3).numpy()
        hits = self.shape(scene_id).cast(origins, directions)
        color = np.where(hits.mask[:, None], hits.color, np.array(self.config.background, dtype=np.float32))
        pixels = np.concatenate([color * 255 + 0.5, hits.mask[:, None] * 255.0], axis=1).astype(np.uint8)
        shape = (len(cameras), cameras.height, cameras.width)
        return pixels.reshape(*shape, 4), torch.from_numpy(hits.depth.astype(np.float32)).reshape(shape)


def _cameras(rng: np.random.Generator, views: int, size: int) -> Cameras:
    """Cameras on a sphere that just see the whole unit sphere."""
    azimuth = rng.uniform(0, 2 * np.pi) + GOLDEN_ANGLE * np.arange(views)
    height = rng.uniform(np.sin(np.radians(-10)), np.sin(np.radians(60)), views)
    across = np.sqrt(1 - height**2)
    half_view = np.radians(FIELD_OF_VIEW_DEGREES / 2)
    positions = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), height], axis=1) / np.sin(half_view)
    poses = look_at(torch.from_numpy(positions), torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0, 1]).double())
    focal = size / 2 / np.tan(half_view)
    return Cameras(poses.float(), torch.tensor([focal, focal, size / 2, size / 2]).float().expand(views, 4), size, size)


@lru_cache
def _warn_once(message: str) -> None:
    print(message)


def _save(path: Path, pixels: np.ndarray) -> None:
    """Best effort: without a writable cache the scenes are made anew each time, which is slower but right."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, pixels)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        _warn_once(f"the cache {path.parent} cannot be written ({error.strerror}): scenes are made anew; set HYPERNERF_CACHE")
