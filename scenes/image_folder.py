"""A folder of photos of one object, without cameras: for models that read images alone (`encoder.image.rays: false`).

The background is not removed: photos must have an alpha channel, or show the object before the plain color that the model knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from hypernerf.geometry import orbit_cameras
from hypernerf.types import Cameras, InputError, SceneTransform, SceneViews

from .folders import image_names, own_file, require_root, scene_folders
from .images import read_image
from .orbits import FIELD_OF_VIEW_DEGREES
from .source import Reading, SceneError, SourceConfig, Split, register_source
from .views import square_image

IMAGE_SIZE = 64  # where nothing says otherwise


@dataclass(frozen=True)
class ImagesConfig(SourceConfig):
    """`root` is a folder of photos, or holds one an object; all are the test split: without cameras nothing can be trained on."""

    min_views: int = 1


def is_image_folder(folder: Path) -> bool:
    return bool(image_names(folder))


@register_source("images", ImagesConfig)
class ImagesSource:
    def __init__(self, config: ImagesConfig) -> None:
        self.config = config
        self.root = Path(require_root(config.root, "images"))
        self._names = ["."] if is_image_folder(self.root) else [str(p.relative_to(self.root)) for p in self._folders()]
        if not self._names:
            raise InputError(f"{self.root}: no images in it, nor in its folders: check source.root")

    def _folders(self) -> list[Path]:
        return scene_folders(self.root, is_image_folder)

    def scene_ids(self, split: Split) -> list[str]:
        return self._names if split == "test" else []

    def load(self, scene_id: str) -> SceneViews:
        name = self.root.resolve().name if scene_id == "." else scene_id
        return load_image_folder(own_file(self.root, scene_id, self.config), self.config.background, self.config, name)


def load_image_folder(
    folder: Path, background: tuple[float, float, float], reading: Reading | None = None, scene_id: str | None = None
) -> SceneViews:
    """The photos, upright and square, with cameras that stand for none (`placeholder_cameras`). Raises `SceneError`."""
    reading = reading or Reading()
    if reading.square == "frame":
        raise SceneError(f"{folder}: photos without cameras cannot be framed: set source.square to crop or pad")
    size = reading.image_size or IMAGE_SIZE
    read = [
        square_image(*read_image(own_file(folder, name, reading), background, upright=True), background, reading.square, size)
        for name in image_names(folder)
    ]
    if not read:
        raise SceneError(f"{folder}: no images in it")
    images, masks = zip(*read, strict=True)
    alpha = None if any(mask is None for mask in masks) else torch.stack(masks)
    cameras = placeholder_cameras(len(images), size, reading.sphere or SceneTransform())
    return SceneViews(scene_id or folder.resolve().name, cameras, torch.stack(images), torch.tensor(background), alpha)


def placeholder_cameras(count: int, size: int, sphere: SceneTransform) -> Cameras:
    """Cameras that each see the whole sphere. A model that reads images alone does not look at them."""
    distance = sphere.radius / math.sin(math.radians(FIELD_OF_VIEW_DEGREES / 2))
    return orbit_cameras(
        count, distance=distance, elevation_degrees=20.0, size=(size, size), field_of_view_degrees=FIELD_OF_VIEW_DEGREES,
        up=torch.tensor([0.0, 0.0, 1.0]), target=torch.tensor(sphere.center),
    )  # fmt: skip
