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

from hypernerf.geometry import is_rigid
from hypernerf.reading import inside, read_text
from hypernerf.types import InputError, SceneViews

from .distortion import Lens
from .folders import divide, image_names, own_file, require_root, scene_folders
from .source import MAX_SIDE, Reading, SceneError, SourceConfig, Split, register_source
from .views import Frame, camera_pose, scene_of, stated_lens

TEXT_LIMIT = 1 << 16  # bytes of a pose or of intrinsics


@dataclass(frozen=True)
class SrnConfig(SourceConfig):
    """`root` is the common prefix: `data/cars` for `data/cars_train`, `data/cars_val` and `data/cars_test`."""

    val_share: float = 0.05  # of the training scenes, set aside (seeded) where there is no `_val` folder

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
        folder = self._folders[scene_id]
        inside(folder.parent, folder.name, follow_links=self.config.follow_links, error=SceneError)
        return load_srn_scene(folder, self.config.background, self.config, scene_id)


def load_srn_scene(
    folder: Path, background: tuple[float, float, float], reading: Reading | None = None, scene_id: str | None = None
) -> SceneViews:
    """One scene folder. Raises `SceneError` that names the file."""
    reading = reading or Reading()
    return scene_of(folder, srn_frames(folder, reading), background, reading, scene_id)


def srn_frames(folder: Path, reading: Reading) -> list[Frame]:
    """The images by name. Raises `SceneError` that names the file."""
    names = image_names(own_file(folder, "rgb", reading))
    if not names:
        raise SceneError(f"{folder / 'rgb'}: no images")
    lens, size = read_intrinsics(own_file(folder, "intrinsics.txt", reading))

    def lens_of(height: int, width: int) -> Lens:
        return stated_lens(lens, size, height, width, str(folder), reading.integer_centers)

    frames = []
    for name in names:
        pose = _read_pose(own_file(folder, f"pose/{Path(name).stem}.txt", reading))
        frames.append(Frame(own_file(folder, f"rgb/{name}", reading), camera_pose(pose, reading, opengl=False), lens_of))
    return frames


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
    pose = torch.tensor(values, dtype=torch.float64).reshape(4, 4)
    if not bool(is_rigid(pose)):
        raise SceneError(f"{path}: no pose: it must be finite and rigid (rotation + translation)")
    return pose


def read_intrinsics(path: Path) -> tuple[Lens, tuple[int, int]]:
    """The lens, and the height and width of the images that it is stated for."""
    rows = _numbers(path)
    if len(rows) < 4 or len(rows[0]) < 3 or len(rows[-1]) < 2:
        raise SceneError(f"{path}: expected lines `f cx cy 0`, barycenter, scale, `H W`")
    focal, cx, cy = rows[0][:3]
    height, width = rows[-1][:2]
    if not (0.5 < height <= MAX_SIDE and 0.5 < width <= MAX_SIDE):
        raise SceneError(f"{path}: the images' size must be positive and at most {MAX_SIDE}, not {height:g} x {width:g}")
    try:
        return Lens(focal, focal, cx, cy), (round(height), round(width))
    except InputError as error:
        raise SceneError(f"{path}: {error}") from None
