"""One scene's folder in any known format, found out by its files."""

from __future__ import annotations

from pathlib import Path

from hypernerf.types import InputError, SceneViews

from .blender import is_blender_scene, load_blender_scene
from .srn import is_srn_scene, load_srn_scene


def load_scene_folder(folder: Path, background: tuple[float, float, float]) -> SceneViews:
    """Reads `folder`. Raises `InputError` when it is of no known format, `SceneError` when a file in it is unusable."""
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder: give the folder of one scene")
    if is_srn_scene(folder):
        return load_srn_scene(folder, background)
    if is_blender_scene(folder):
        return load_blender_scene(folder, background)
    raise InputError(f"{folder}: no known format: needs transforms.json, or rgb/, pose/ and intrinsics.txt (SRN)")
