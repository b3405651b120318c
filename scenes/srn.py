"""ShapeNet-SRN folders (Sitzmann et al. 2019): `<id>/{rgb,pose,intrinsics.txt}`, splits as sibling folders.

Poses are camera-to-world with OpenCV axes, as here. `intrinsics.txt`: `f cx cy 0`, the barycenter, the near plane or scale,
and `H W`, a line each; f, cx and cy are in pixels of an H x W image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.reading import inside, read_text
from hypernerf.types import Cameras, InputError, SceneViews

from .folders import divide, listed, require_root, scene_folders
from .images import read_images
from .source import SceneError, SourceConfig, Split, register_source

TEXT_LIMIT = 1 << 16  # bytes of a pose or of intrinsics


@dataclass(frozen=True)
class SrnConfig(SourceConfig):
    """`root` is the common prefix: `data/cars` for `data/cars_train`, `data/cars_val` and `data/cars_test`."""

    val_share: float = 0.05  # of the training scenes, set aside (seeded) where there is no `_val` folder
    integer_centers: bool = False  # the files' cx, cy count from pixel centers, not from the image's corner

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.val_share < 1:
            raise InputError(f"source.val_share must lie between 0 and 1, not {self.val_share}")


def is_srn_scene(folder: Path) -> bool:
    return (folder / "pose").is_dir() and (folder / "rgb").is_dir()


@register_source("srn", SrnConfig)
class SrnSource:
    def __init__(self, config: SrnConfig) -> None:
        self.config = config
        root = require_root(config.root, "srn")
        found = {split: scene_folders(Path(f"{root}_{split}"), is_srn_scene) for split in ("train", "val", "test")}
        if not any(found.values()):
            raise InputError(f"{root}_train: no SRN scene there or beside it (folders with rgb/ and pose/): check source.root")
        by_name = {split: {path.name: path for path in paths} for split, paths in found.items()}
        if not by_name["val"] and len(by_name["train"]) > 1:
            parts = divide(sorted(by_name["train"]), {"train": 1 - config.val_share, "val": config.val_share})
            train = by_name["train"]
            by_name["train"] = {name: train[name] for name in parts["train"]}
            by_name["val"] = {name: train[name] for name in parts["val"]}
        self._splits: dict[str, list[str]] = {split: list(paths) for split, paths in by_name.items()}
        self._folders = {f"{split}/{name}": path for split, paths in by_name.items() for name, path in paths.items()}

    def scene_ids(self, split: Split) -> list[str]:
        return [f"{split}/{name}" for name in self._splits[split]]

    def load(self, scene_id: str) -> SceneViews:
        config, folder = self.config, self._folders[scene_id]
        inside(folder.parent, folder.name, follow_links=config.follow_links, error=SceneError)
        return load_srn_scene(folder, config.background, config.integer_centers, scene_id, config.follow_links)


def load_srn_scene(
    folder: Path, background: tuple[float, float, float], integer_centers: bool = False, scene_id: str | None = None,
    follow_links: bool = False,
) -> SceneViews:  # fmt: skip
    """One scene folder. Raises `SceneError` that names the file."""

    def own(name: str) -> Path:
        return inside(folder, name, follow_links=follow_links, error=SceneError)

    names = [path.name for path in listed(own("rgb")) if path.suffix.lower() in (".png", ".jpg", ".jpeg")]
    if not names:
        raise SceneError(f"{folder / 'rgb'}: no images")
    images, masks = read_images([own(f"rgb/{name}") for name in names], background)
    height, width = images.shape[1:3]
    poses = torch.stack([_read_pose(own(f"pose/{Path(name).stem}.txt")) for name in names])
    intrinsics = read_intrinsics(own("intrinsics.txt"), height, width, integer_centers)
    cameras = Cameras(poses, intrinsics.expand(len(names), 4), height, width)
    return SceneViews(scene_id or folder.name, cameras, images, torch.tensor(background), masks)


def _numbers(path: Path) -> list[list[float]]:
    """The numbers of a text file, line by line; lines that are blank are left out."""
    lines = read_text(path, TEXT_LIMIT, SceneError).splitlines()
    try:
        return [[float(word) for word in line.split()] for line in lines if line.strip()]
    except ValueError as error:
        raise SceneError(f"{path}: cannot be read as numbers ({error})") from None


def _read_pose(path: Path) -> Float[Tensor, "4 4"]:
    values = [value for row in _numbers(path) for value in row]
    if len(values) != 16:
        raise SceneError(f"{path}: {len(values)} numbers, a pose has 16")
    return torch.tensor(values, dtype=torch.float32).reshape(4, 4)


def read_intrinsics(path: Path, height: int, width: int, integer_centers: bool = False) -> Float[Tensor, 4]:
    """fx, fy, cx, cy for images of `height` x `width`, whatever size the file was written for."""
    rows = _numbers(path)
    if len(rows) < 4 or len(rows[0]) < 3 or len(rows[-1]) < 2:
        raise SceneError(f"{path}: expected lines `f cx cy 0`, barycenter, scale, `H W`")
    focal, cx, cy = rows[0][:3]
    stated_height, stated_width = rows[-1][:2]
    offset = 0.5 if integer_centers else 0.0
    x, y = (width / stated_width, height / stated_height) if stated_width > 0 and stated_height > 0 else (0.0, 0.0)
    intrinsics = torch.tensor([focal * x, focal * y, (cx + offset) * x, (cy + offset) * y], dtype=torch.float32)
    if not bool(torch.isfinite(intrinsics).all()) or not bool((intrinsics[:2] > 0).all()):
        raise SceneError(f"{path}: focal length and size must be positive and finite")
    return intrinsics
