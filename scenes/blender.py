"""NeRF-synthetic folders (Mildenhall et al. 2020), one by one or many beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hypernerf.types import Cameras, InputError, SceneViews

from .camera_path import frame_intrinsics, frame_poses, read_transforms
from .folders import divide, require_root, scene_folders
from .images import read_image
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
        return load_blender_scene(self.root / scene_id, self.config.background, scene_id)


def load_blender_scene(folder: Path, background: tuple[float, float, float], scene_id: str | None = None) -> SceneViews:
    """One scene: `transforms.json`, or the frames of all `transforms_{train,val,test}.json` in this order.

    Raises:
        SceneError: names the file and what is wrong with it.
    """
    files = [folder / "transforms.json"] if (folder / "transforms.json").is_file() else [folder / name for name in FILES[1:]]
    images, poses, intrinsics = [], [], []
    masks: list[torch.Tensor | None] = []
    for path in (path for path in files if path.is_file()):
        values = read_transforms(path)
        read = [read_image(_image_path(path, frame, number), background) for number, frame in enumerate(values["frames"])]
        sizes = {tuple(image.shape[:2]) for image, _ in read}
        if len(sizes) > 1:
            raise SceneError(f"{path}: images of mixed sizes {sorted(sizes)}")
        ((height, width),) = sizes
        images += [image for image, _ in read]
        masks += [mask for _, mask in read]
        poses.append(frame_poses(path, values))
        intrinsics.append(frame_intrinsics(path, values, height, width))
    if len({image.shape for image in images}) > 1:
        raise SceneError(f"{folder}: images of mixed sizes in its transforms files")
    height, width = images[0].shape[:2]
    cameras = Cameras(torch.cat(poses), torch.cat(intrinsics), height, width)
    known = [mask for mask in masks if mask is not None]
    alpha = torch.stack(known) if len(known) == len(masks) else None
    return SceneViews(scene_id or folder.name, cameras, torch.stack(images), torch.tensor(background), alpha)


def _image_path(transforms: Path, frame: dict, number: int) -> Path:
    """A frame's image; NeRF-synthetic files leave out `.png`. Paths must stay in the scene's folder."""
    name = frame.get("file_path")
    if not isinstance(name, str) or not name:
        raise SceneError(f"{transforms}: frame {number} has no file_path")
    folder = transforms.parent.resolve()
    for candidate in (name, f"{name}.png"):
        path = (folder / candidate).resolve()
        if not path.is_relative_to(folder):
            raise SceneError(f"{transforms}: the file_path of frame {number} leaves the folder: {name!r}")
        if path.is_file():
            return path
    raise SceneError(f"{folder / name}: no such image, named by frame {number} of {transforms.name}")
