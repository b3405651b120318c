"""Drawn scenes as folders that this project and others read: ShapeNet-SRN, NeRF-synthetic or nerfstudio layout."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray as Array
from PIL import Image

from hypernerf.geometry import to_opengl
from hypernerf.types import Cameras


def write_scene(folder: Path, layout: str, pixels: UInt8[Array, "view height width 4"], cameras: Cameras) -> None:
    """One scene, whole or not at all: `layout` is `srn`, `blender` or `nerfstudio`; an older folder of the name is replaced."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    {"srn": _write_srn, "blender": _write_blender, "nerfstudio": _write_nerfstudio}[layout](temporary, pixels, cameras)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _write_srn(folder: Path, pixels: Array, cameras: Cameras) -> None:
    for name in ("rgb", "pose"):
        (folder / name).mkdir()
    for number, (image, pose) in enumerate(zip(pixels, cameras.camera_to_world, strict=True)):
        Image.fromarray(image).save(folder / "rgb" / f"{number:06d}.png")
        text = " ".join(f"{value:.9g}" for value in pose.flatten().tolist())
        (folder / "pose" / f"{number:06d}.txt").write_text(text + "\n")
    fx, _, cx, cy = cameras.intrinsics[0].tolist()
    size = f"{cameras.height} {cameras.width}"
    (folder / "intrinsics.txt").write_text(f"{fx:.9g} {cx:.9g} {cy:.9g} 0.\n0. 0. 0.\n1.\n{size}\n")


def _write_blender(folder: Path, pixels: Array, cameras: Cameras) -> None:
    across = 2 * math.atan(cameras.width / 2 / float(cameras.intrinsics[0, 0]))
    _write_transforms(folder, pixels, cameras, {"camera_angle_x": across})


def _write_nerfstudio(folder: Path, pixels: Array, cameras: Cameras) -> None:
    """As ns-process-data writes it; its loader blends the images' alpha with the background it is told."""
    distortion = dict.fromkeys(("k1", "k2", "p1", "p2"), 0.0)
    _write_transforms(folder, pixels, cameras, {"camera_model": "OPENCV", **distortion})


def _write_transforms(folder: Path, pixels: Array, cameras: Cameras, facts: dict[str, Any]) -> None:
    (folder / "images").mkdir()
    frames = []
    for number, (image, pose) in enumerate(zip(pixels, to_opengl(cameras.camera_to_world), strict=True)):
        Image.fromarray(image).save(folder / "images" / f"{number:04d}.png")
        frames.append({"file_path": f"images/{number:04d}.png", "transform_matrix": pose.tolist()})
    fx, fy, cx, cy = cameras.intrinsics[0].tolist()
    values = {
        **facts, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": cameras.width, "h": cameras.height, "frames": frames,
    }  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps(values, indent=1))
