"""COLMAP folders: `images/`, a sparse model (`sparse/0`), and perhaps `masks/NAME.png` (black: not the object)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from hypernerf.types import SceneTransform, SceneViews

from .colmap_model import ColmapCamera, ColmapImage, model_files, read_model
from .distortion import Lens
from .folders import own_file, require_root
from .nerfstudio import TransformsConfig, share_out
from .source import Reading, SceneError, Split, register_source
from .views import Frame, camera_pose, scene_of, stated_lens


@dataclass(frozen=True)
class ColmapConfig(TransformsConfig):
    """`root` is one scene (the test split), or holds a folder a scene. COLMAP's world is arbitrary: see `align`."""

    images: str = "images"  # folder of the images in a scene's; images_2, images_4 … are the same, smaller

    @property
    def sphere(self) -> SceneTransform | None:
        return super().sphere or (None if self.align is False else SceneTransform(self.center or (0.0, 0.0, 0.0)))


def is_colmap_scene(folder: Path) -> bool:
    return folder.is_dir() and model_files(folder) is not None


@register_source("colmap", ColmapConfig)
class ColmapSource:
    def __init__(self, config: ColmapConfig) -> None:
        self.config = config
        self.root = Path(require_root(config.root, "colmap"))
        self._splits = share_out(self.root, config, is_colmap_scene)

    def scene_ids(self, split: Split) -> list[str]:
        return self._splits[split]

    def load(self, scene_id: str) -> SceneViews:
        name = self.root.resolve().name if scene_id == "." else scene_id
        config = self.config
        return load_colmap_scene(own_file(self.root, scene_id, config), config.background, config, name)


def load_colmap_scene(
    folder: Path, background: tuple[float, float, float], reading: Reading | None = None, scene_id: str | None = None
) -> SceneViews:
    """One scene. It is aligned unless `reading.align` says false. Raises `SceneError` that names the file."""
    reading = reading or Reading()
    return scene_of(folder, colmap_frames(folder, reading), background, reading, scene_id, arbitrary=True)


def colmap_frames(folder: Path, reading: Reading) -> list[Frame]:
    """The images that COLMAP could place, by name. Raises `SceneError` that names the file."""
    files = model_files(folder)
    if files is None:
        raise SceneError(f"{folder}: no COLMAP model there: sparse/0 with cameras.bin and images.bin, or .txt")
    cameras, placed = read_model(*(own_file(folder, name, reading) for name in files))
    images = reading.images if isinstance(reading, ColmapConfig) else "images"
    return [_frame(folder, images, image, cameras[image.camera], reading) for image in placed]


def _frame(folder: Path, images: str, image: ColmapImage, camera: ColmapCamera, reading: Reading) -> Frame:
    named_by = f"{folder}: the COLMAP model's image"
    file = _within(folder, images, image.name, reading, named_by)
    masks = [_within(folder, "masks", name, reading, named_by) for name in (f"{image.name}.png", image.name)]
    pose = camera_pose(torch.linalg.inv(image.world_to_camera), reading, opengl=False)

    def lens(height: int, width: int) -> Lens:
        return stated_lens(camera.lens, (camera.height, camera.width), height, width, str(file), reading.integer_centers)

    return Frame(file, pose, lens, next((mask for mask in masks if os.path.isfile(mask)), None))


def _within(folder: Path, part: str, name: str, reading: Reading, named_by: str) -> Path:
    """An image or mask: a file of that part of the scene's folder, which itself may not be a link that leads out of it."""
    return own_file(own_file(folder, part, reading, named_by), name, reading, named_by)
