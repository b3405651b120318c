"""Camera paths as nerfstudio's viewer and its Blender add-on write them: OpenGL axes, one camera a frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from hypernerf.geometry import from_opengl, is_rigid
from hypernerf.types import Cameras, InputError


def is_nerfstudio_path(values: Any) -> bool:
    return isinstance(values, dict) and "camera_path" in values


def nerfstudio_path_cameras(path: Path, values: dict[str, Any]) -> Cameras:
    """The cameras of the file `path` that holds `values`; `fov` is the angle from the image's upper to its lower edge.

    Raises:
        InputError: no cameras, poses that are none, missing sizes, or a type other than perspective.
    """
    kind = values.get("camera_type", "perspective")
    if kind != "perspective":
        raise InputError(f"{path}: camera_type {kind!r} cannot be rendered: choose perspective in nerfstudio's viewer")
    try:
        height, width = int(values["render_height"]), int(values["render_width"])
        poses = torch.tensor([camera["camera_to_world"] for camera in values["camera_path"]]).float().reshape(-1, 4, 4)
        angles = [math.radians(float(camera["fov"])) for camera in values["camera_path"]]
        focal = [0.5 * height / math.tan(angle / 2) for angle in angles]
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, ZeroDivisionError) as error:
        raise InputError(
            f"{path}: not a nerfstudio camera path ({type(error).__name__}: {error}): needs render_height, render_width and a "
            "camera_path whose items have camera_to_world (16 numbers) and fov"
        ) from None
    if not len(poses) or not 1 <= height <= 16384 or not 1 <= width <= 16384 or not all(0 < a < math.pi for a in angles):
        raise InputError(f"{path}: needs at least one camera, a size of 1 to 16384 pixels and fov between 0 and 180 degrees")
    if not bool(is_rigid(poses).all()):
        number = int((~is_rigid(poses)).nonzero()[0, 0])
        raise InputError(f"{path}: the camera_to_world of camera {number} is no pose (4x4, rotation + translation)")
    intrinsics = torch.tensor([[f, f, width / 2, height / 2] for f in focal])
    return Cameras(from_opengl(poses), intrinsics, height, width)
