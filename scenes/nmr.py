"""ShapeNet as the Neural Mesh Renderer drew it, in the folders of DVR (Niemeyer et al. 2020): 64x64, 24 views, 13 categories.

`CATEGORY/ID/{image,mask}/*.png` and `cameras.npz`, splits in `CATEGORY/softras_{train,val,test}.lst`. A point x of the world is
seen at K W x (homogeneous), with W = `world_mat_I` and K = `camera_mat_I`, and the image reaches from -1 to 1 between its
outer edges, y downwards. With `scale_mat_I` = S the object's own coordinates are S^-1 x.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.geometry import is_rigid
from hypernerf.reading import inside, open_regular, read_text
from hypernerf.types import InputError, SceneViews

from .distortion import Lens
from .folders import image_names, own_file, require_root
from .source import SPLITS, Reading, SceneError, SourceConfig, Split, register_source
from .views import Frame, camera_pose, scene_of

MATRIX_LIMIT = 4096  # bytes of one matrix in the file
FILE_LIMIT = 1 << 24  # bytes of the cameras of one object, or of a list of objects


@dataclass(frozen=True)
class NmrConfig(SourceConfig):
    """`root` holds a folder a category (or is one), with its lists of splits."""

    lists: str = "softras_"  # the lists are LISTS + train.lst, val.lst, test.lst


def is_nmr_scene(folder: Path) -> bool:
    return (folder / "cameras.npz").is_file() and (folder / "image").is_dir()


@register_source("nmr", NmrConfig)
class NmrSource:
    def __init__(self, config: NmrConfig) -> None:
        self.config = config
        self.root = Path(require_root(config.root, "nmr"))
        if not self.root.is_dir():
            raise InputError(f"{self.root}: no such folder: check source.root")
        categories = [self.root, *sorted(path for path in self.root.iterdir() if path.is_dir())]
        self._splits: dict[Split, list[str]] = {
            split: [name for category in categories for name in self._listed(category, split)] for split in SPLITS
        }
        if not any(self._splits.values()):
            raise InputError(f"{self.root}: no CATEGORY/{config.lists}train.lst in it: check source.root and source.lists")

    def _listed(self, category: Path, split: Split) -> list[str]:
        path = category / f"{self.config.lists}{split}.lst"
        names = read_text(path, FILE_LIMIT).split() if path.exists() else []
        for name in names:
            inside(category, name, follow_links=self.config.follow_links, named_by=path)
        return [str((category / name).relative_to(self.root)) for name in names]

    def scene_ids(self, split: Split) -> list[str]:
        return self._splits[split]

    def load(self, scene_id: str) -> SceneViews:
        return load_nmr_scene(own_file(self.root, scene_id, self.config), self.config.background, self.config, scene_id)


def load_nmr_scene(
    folder: Path, background: tuple[float, float, float], reading: Reading | None = None, scene_id: str | None = None
) -> SceneViews:
    """One scene folder. Raises `SceneError` that names the file."""
    reading = reading or Reading()
    return scene_of(folder, nmr_frames(folder, reading), background, reading, scene_id)


def nmr_frames(folder: Path, reading: Reading) -> list[Frame]:
    """The images by name. Raises `SceneError` that names the file."""
    images, masks = (_pictures(folder, part, reading) for part in ("image", "mask"))
    if masks and len(masks) != len(images):
        raise SceneError(f"{folder / 'mask'}: {len(masks)} masks for {len(images)} images")
    path = own_file(folder, "cameras.npz", reading)
    with open_regular(path, FILE_LIMIT, SceneError) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return [
                    _frame(archive, path, number, image, masks[number] if masks else None, reading)
                    for number, image in enumerate(images)
                ]
        except SceneError:
            raise
        except Exception as error:  # zipfile and its decompressors raise whatever the file makes them stumble over
            raise SceneError(f"{path}: cannot be read ({type(error).__name__}: {error})") from None


def _pictures(folder: Path, part: str, reading: Reading) -> list[Path]:
    return [own_file(folder, f"{part}/{name}", reading) for name in image_names(own_file(folder, part, reading))]


def _frame(archive: zipfile.ZipFile, path: Path, number: int, image: Path, mask: Path | None, reading: Reading) -> Frame:
    world, intrinsic = (_matrix(archive, path, f"{name}_mat_{number}") for name in ("world", "camera"))
    if world is None or intrinsic is None:
        raise SceneError(
            f"{path}: lacks world_mat_{number} or camera_mat_{number} of {image.name}: is it of another format (IDR, NeuS)?"
        )
    scale = _matrix(archive, path, f"scale_mat_{number}")
    pose = _object_pose(path, number, world, torch.eye(4, dtype=torch.float64) if scale is None else scale)
    if not bool((intrinsic.diagonal()[:2] > 0).all()) or not bool(torch.isfinite(intrinsic).all()):
        raise SceneError(f"{path}: camera_mat_{number} has no positive focal lengths")
    (fx, cx), (fy, cy) = intrinsic[0, [0, 2]].tolist(), intrinsic[1, [1, 2]].tolist()

    def lens(height: int, width: int) -> Lens:
        shift = 0.5 if reading.integer_centers else 0.0
        return Lens(fx * width / 2, fy * height / 2, (cx + 1) * width / 2 + shift, (cy + 1) * height / 2 + shift)

    return Frame(image, camera_pose(pose, reading, opengl=False), lens, mask)


def _object_pose(path: Path, number: int, world: Tensor, scale: Tensor) -> Float[Tensor, "4 4"]:
    """Camera-to-world in the object's own coordinates: S^-1 W^-1, with the rotation made one again."""
    if not bool(is_rigid(world)):
        raise SceneError(f"{path}: world_mat_{number} is no pose (rotation + translation)")
    factor = float(scale[0, 0])
    similar = scale.clone()
    similar[:3, :3] /= factor or 1.0
    if not factor > 0 or not bool(is_rigid(similar)):
        raise SceneError(f"{path}: scale_mat_{number} must scale all axes alike and move, no more")
    pose = torch.linalg.inv(world)
    pose[:3, 3] = (pose[:3, 3] - scale[:3, 3]) / factor
    return pose


def _matrix(archive: zipfile.ZipFile, path: Path, name: str) -> Float[Tensor, "4 4"] | None:
    """An array of the archive by hand, so that one that claims to be huge, or to hold objects, is refused before it is made."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    if info.file_size > MATRIX_LIMIT:
        raise SceneError(f"{path}: {name} is no 4x4 matrix")
    with archive.open(info) as file:
        data = io.BytesIO(file.read(MATRIX_LIMIT))
    try:
        if np.lib.format.read_magic(data) != (1, 0):
            raise ValueError("unusual version")
        shape, fortran, kind = np.lib.format.read_array_header_1_0(data)
        if shape not in ((4, 4), (3, 4)) or kind.kind != "f":
            raise ValueError(f"{kind} of shape {shape}")
        values = np.frombuffer(data.read(), kind).reshape(shape, order="F" if fortran else "C")
    except ValueError as error:
        raise SceneError(f"{path}: {name} is no 4x4 matrix ({error})") from None
    result = np.eye(4)
    result[: len(values)] = values
    return torch.from_numpy(result)
