"""`transforms.json` folders: nerfstudio's form, of which NeRF-synthetic's (`blender.py`) and learnit's are parts.

Camera-to-world with OpenGL axes; intrinsics and distortion for the whole file or a frame; `mask_path` black where nothing of
the object is. `applied_transform` (3x4 A) and `applied_scale` (s) say how the file's world came from that of the tool which
found the cameras: x = s (A x_tool). They are left alone unless `undo_applied` asks for x_tool. Point clouds are not read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.geometry import is_rigid
from hypernerf.types import InputError, SceneViews

from .camera_path import frame_lens, frame_poses, read_transforms
from .folders import divide, own_file, require_root, scene_folders
from .source import Reading, SceneError, SourceConfig, Split, register_source
from .views import Frame, camera_pose, scene_of

FILES = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")


@dataclass(frozen=True)
class TransformsConfig(SourceConfig):
    """`root` holds a folder a scene. Splits are folders `train`, `val`, `test`, if there are; else shares (seeded)."""

    val_share: float = 0.05
    test_share: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.val_share < 1 and 0 < self.test_share < 1 and self.val_share + self.test_share < 1):
            raise InputError("source.val_share and source.test_share must be positive and leave room for training scenes")


@dataclass(frozen=True)
class NerfstudioConfig(TransformsConfig):
    """`root` may also be one scene, which is then the test split."""

    undo_applied: bool = False  # cameras in the world before `applied_transform` and `applied_scale`


def is_transforms_scene(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FILES)


def share_out(root: Path, config: TransformsConfig, is_scene) -> dict[Split, list[str]]:
    """Scenes of a folder, as paths relative to it: its own `train`, `val`, `test` folders if it has them, else shares.

    Raises:
        InputError: no such folder, or no scene in it.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder: check source.root")
    splits: dict[Split, list[str]] = {"train": [], "val": [], "test": []}
    if is_scene(root):
        splits["test"] = ["."]
    elif any((root / split).is_dir() for split in splits):
        for split in splits:
            splits[split] = [f"{split}/{path.name}" for path in scene_folders(root / split, is_scene)]
    else:
        names = [str(path.relative_to(root)) for path in scene_folders(root, is_scene)]
        shares: dict[Split, float] = {
            "train": 1 - config.val_share - config.test_share,
            "val": config.val_share,
            "test": config.test_share,
        }
        splits = divide(names, shares)
    if not any(splits.values()):
        raise InputError(f"{root}: no scene of source {config.name!r} in it: check source.root")
    return splits


class TransformsSource:
    def __init__(self, config: TransformsConfig) -> None:
        self.config = config
        self.root = Path(require_root(config.root, config.name))
        self._splits = share_out(self.root, config, is_transforms_scene)

    def scene_ids(self, split: Split) -> list[str]:
        return self._splits[split]

    def load(self, scene_id: str) -> SceneViews:
        name = self.root.resolve().name if scene_id == "." else scene_id
        folder = own_file(self.root, scene_id, self.config)
        return load_transforms_scene(folder, self.config.background, self.config, name)


@register_source("nerfstudio", NerfstudioConfig)
class NerfstudioSource(TransformsSource):
    pass


def load_transforms_scene(
    folder: Path, background: tuple[float, float, float], reading: Reading | None = None, scene_id: str | None = None,
    *, beside: bool = False,
) -> SceneViews:  # fmt: skip
    """One scene. Raises `SceneError` that names the file; see `transforms_frames`."""
    reading = reading or Reading()
    return scene_of(folder, transforms_frames(folder, reading, beside=beside), background, reading, scene_id)


def transforms_frames(folder: Path, reading: Reading, *, beside: bool = False) -> list[Frame]:
    """The frames of `transforms.json`, or of all `transforms_{train,val,test}.json` in this order.

    `beside`: images lie beside the file, and of their paths the last part alone counts (`learnit.py`).

    Raises:
        SceneError: names the file and what is wrong with it.
    """
    undo = isinstance(reading, NerfstudioConfig) and reading.undo_applied
    names = FILES[:1] if (folder / FILES[0]).is_file() else [name for name in FILES[1:] if (folder / name).is_file()]
    frames: list[Frame] = []
    for path in (own_file(folder, name, reading) for name in names):
        values = read_transforms(path)
        stated = frame_poses(path, values)
        poses = camera_pose(_before_applied(path, values, stated) if undo else stated, reading, opengl=True)
        frames += [_frame(folder, path, values, number, pose, reading, beside) for number, pose in enumerate(poses)]
    return frames


def _frame(
    folder: Path, path: Path, values: dict[str, Any], number: int, pose: Float[Tensor, "4 4"], reading: Reading, beside: bool
) -> Frame:
    frame = values["frames"][number]
    where = f"{path}: frame {number}"
    image = _named_file(folder, where, frame, "file_path", reading, beside)
    mask = _named_file(folder, where, frame, "mask_path", reading, beside) if frame.get("mask_path") else None
    own = {**values, **frame}
    return Frame(image, pose, lambda height, width: frame_lens(where, own, height, width, reading.integer_centers), mask)


def _named_file(folder: Path, where: str, frame: dict, key: str, reading: Reading, beside: bool) -> Path:
    """The file that a frame names; NeRF-synthetic files leave out `.png`. Paths must stay in the scene's folder."""
    name = frame.get(key)
    if not isinstance(name, str) or not name:
        raise SceneError(f"{where} has no {key}")
    name = Path(name).name if beside else name
    for candidate in (name, f"{name}.png"):
        path = own_file(folder, candidate, reading, f"{where}: its {key}")
        if os.path.isfile(path):
            return path
    raise SceneError(f"{folder / name}: no such image, named by {where}")


def _before_applied(path: Path, values: dict[str, Any], poses: Float[Tensor, "frame 4 4"]) -> Float[Tensor, "frame 4 4"]:
    """Poses in the world of the tool that found them: A^-1 after the positions are divided by s."""
    try:
        scale = float(values.get("applied_scale", 1.0))
        applied = torch.eye(4, dtype=torch.float64)
        rows = torch.tensor(values.get("applied_transform", applied[:3].tolist()), dtype=torch.float64)
        applied[:3] = rows[:3]
    except (TypeError, ValueError, RuntimeError):
        raise SceneError(f"{path}: applied_transform must be 3x4 numbers and applied_scale a number") from None
    if not 0 < scale < float("inf") or not bool(is_rigid(applied)):
        raise SceneError(f"{path}: applied_transform must be a rotation and a translation, applied_scale positive")
    result = poses.clone()
    result[:, :3, 3] /= scale
    return torch.linalg.inv(applied) @ result
