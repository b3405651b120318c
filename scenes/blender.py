"""NeRF-synthetic folders (Mildenhall et al. 2020), one by one or many beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hypernerf.reading import inside
from hypernerf.types import Cameras, InputError, SceneViews

from .camera_path import frame_intrinsics, frame_poses, read_transforms
from .folders import divide, require_root, scene_folders
from .images import read_images
from .source import SceneError, SourceConfig, Split, register_source

FILES = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")


@dataclass(frozen=True)
class BlenderConfig(SourceConfig):
    """`root` holds a folder a scene. Splits are folders `train`, `val`, `test`, if there are; else shares (seeded)."""

    val_share: float = 0.05
    test_share: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.val_share < 1 and 0 < self.test_share < 1 and self.val_share + self.test_share < 1):
            raise InputError("source.val_share and source.test_share must be positive and leave room for training scenes")


def is_blender_scene(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FILES)


@register_source("blender", BlenderConfig)
class BlenderSource:
    def __init__(self, config: BlenderConfig) -> None:
        self.config = config
        self.root = Path(require_root(config.root, "blender"))
        if not self.root.is_dir():
            raise InputError(f"{self.root}: no such folder: check source.root")
        splits: dict[Split, list[str]] = {}
        if (self.root / "train").is_dir() and not is_blender_scene(self.root):
            for split in ("train", "val", "test"):
                splits[split] = [f"{split}/{path.name}" for path in scene_folders(self.root / split, is_blender_scene)]  # type: ignore[index]
        else:
            names = [str(path.relative_to(self.root)) for path in scene_folders(self.root, is_blender_scene)]
            share = {"train": 1 - config.val_share - config.test_share, "val": config.val_share, "test": config.test_share}
            splits = divide(names, share)  # type: ignore[arg-type]
        if not any(splits.values()):
            raise InputError(f"{self.root}: no folder with a transforms.json in it: check source.root")
        self._splits = splits

    def scene_ids(self, split: Split) -> list[str]:
        return self._splits[split]

    def load(self, scene_id: str) -> SceneViews:
        folder = inside(self.root, scene_id, follow_links=self.config.follow_links, error=SceneError)
        return load_blender_scene(folder, self.config.background, scene_id, self.config.follow_links)


def load_blender_scene(
    folder: Path, background: tuple[float, float, float], scene_id: str | None = None, follow_links: bool = False
) -> SceneViews:
    """One scene: `transforms.json`, or the frames of all `transforms_{train,val,test}.json` in this order.

    Raises:
        SceneError: names the file and what is wrong with it.
    """
    names = ["transforms.json"] if (folder / "transforms.json").is_file() else [n for n in FILES[1:] if (folder / n).is_file()]
    files = [inside(folder, name, follow_links=follow_links, error=SceneError) for name in names]
    contents = [(path, read_transforms(path)) for path in files]
    paths = [
        _image_path(folder, path, frame, number, follow_links)
        for path, values in contents
        for number, frame in enumerate(values["frames"])
    ]
    if not paths:
        raise SceneError(f"{folder}: no transforms.json there")
    images, masks = read_images(paths, background)
    height, width = images.shape[1:3]
    poses = torch.cat([frame_poses(path, values) for path, values in contents])
    intrinsics = torch.cat([frame_intrinsics(path, values, height, width) for path, values in contents])
    cameras = Cameras(poses, intrinsics, height, width)
    return SceneViews(scene_id or folder.name, cameras, images, torch.tensor(background), masks)


def _image_path(folder: Path, transforms: Path, frame: dict, number: int, follow_links: bool) -> Path:
    """A frame's image; NeRF-synthetic files leave out `.png`. Paths must stay in the scene's folder."""
    name = frame.get("file_path")
    if not isinstance(name, str) or not name:
        raise SceneError(f"{transforms}: frame {number} has no file_path")
    where = f"{transforms}: the file_path of frame {number}"
    for candidate in (name, f"{name}.png"):
        path = inside(folder, candidate, follow_links=follow_links, named_by=where, error=SceneError)
        if path.is_file():
            return path
    raise SceneError(f"{folder / name}: no such image, named by frame {number} of {transforms.name}")
