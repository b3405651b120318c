"""One scene's folder in any known format, found out by its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypernerf.reading import inside
from hypernerf.types import InputError, SceneViews

from .camera_path import read_transforms
from .colmap import colmap_frames, is_colmap_scene, load_colmap_scene
from .folders import scene_folders
from .image_folder import is_image_folder, load_image_folder
from .learnit import is_learnit_scene, learnit_frames, load_learnit_scene
from .nerfstudio import is_transforms_scene, load_transforms_scene, transforms_frames
from .nmr import is_nmr_scene, load_nmr_scene, nmr_frames
from .source import Reading, SceneError
from .srn import is_srn_scene, load_srn_scene, srn_frames
from .views import Frame

Loader = Callable[[Path, tuple[float, float, float], Reading | None, str | None], SceneViews]
NEEDS = (
    "transforms.json (NeRF-synthetic, nerfstudio), rgb/, pose/ and intrinsics.txt (SRN), images/ and sparse/0 (COLMAP), "
    "image/ and cameras.npz (NMR), or photos"
)


@dataclass(frozen=True)
class Format:
    """A format by the name of its source."""

    name: str
    is_scene: Callable[[Path], bool]
    load: Loader
    frames: Callable[[Path, Reading], list[Frame]] | None = None  # its images, unread; None: they have no cameras


def _is_blender(folder: Path) -> bool:
    """The older form: one angle of view and no more."""
    if not is_transforms_scene(folder):
        return False
    if not (folder / "transforms.json").is_file():
        return True
    try:
        values = read_transforms(inside(folder, "transforms.json", error=SceneError))
    except SceneError:  # what is wrong with it, its reader will say
        return False
    return "camera_angle_x" in values and not any("fl_x" in part for part in (values, *values["frames"]))


FORMATS = (  # the first that fits: the more telling ones come first
    Format("learnit", is_learnit_scene, load_learnit_scene, learnit_frames),
    Format("blender", _is_blender, load_transforms_scene, transforms_frames),
    Format("nerfstudio", is_transforms_scene, load_transforms_scene, transforms_frames),
    Format("nmr", is_nmr_scene, load_nmr_scene, nmr_frames),
    Format("srn", is_srn_scene, load_srn_scene, srn_frames),
    Format("colmap", is_colmap_scene, load_colmap_scene, colmap_frames),
    Format("images", is_image_folder, load_image_folder),
)


def scene_format(folder: Path) -> Format | None:
    """The format of one scene's folder; None if it is of no known one."""
    return next((known for known in FORMATS if known.is_scene(folder)), None)


def load_scene_folder(folder: Path, background: tuple[float, float, float], reading: Reading | None = None) -> SceneViews:
    """Reads `folder`. Raises `InputError` when it is of no known format, `SceneError` when a file in it is unusable."""
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder: give the folder of one scene")
    known = scene_format(folder)
    if known is None:
        raise InputError(f"{folder}: no known format: needs {NEEDS}")
    return known.load(folder, background, reading, None)


def find_scenes(place: Path) -> tuple[Format, list[Path]]:
    """The scenes in `place`: itself, its folders, those of its folders, or folders beside it named PLACE_train and so on.

    Raises:
        InputError: there is none.
    """
    if place.is_dir():
        known = scene_format(place)
        if known is not None and (known.name != "images" or not scene_folders(place, _is_posed)):
            return known, [place]
    # transforms.json of NeRF-synthetic or SRN's split folders are at most two levels deep, NMR's and learnit's three
    for root in (place, *(place.with_name(f"{place.name}_{split}") for split in ("train", "val", "test"))):
        folders = scene_folders(root, _is_posed) or [p for child in _children(root) for p in scene_folders(child, _is_posed)]
        if not folders:
            folders = scene_folders(root, is_image_folder)
        if folders:
            first = scene_format(folders[0])
            assert first is not None
            return first, folders
    raise InputError(f"{place}: no scene there: a scene's folder needs {NEEDS}")


def _is_posed(folder: Path) -> bool:
    known = scene_format(folder)
    return known is not None and known.name != "images"


def _children(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
