"""`transforms.json`: cameras in the form of NeRF-synthetic and nerfstudio (OpenGL axes, camera-to-world)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.geometry import from_opengl, is_rigid
from hypernerf.reading import read_json
from hypernerf.types import Cameras, InputError

from .distortion import Distortion, Lens
from .nerfstudio_path import is_nerfstudio_path, nerfstudio_path_cameras
from .source import MAX_SIDE, SceneError, check_cameras
from .views import stated_lens

FILE_LIMIT = 1 << 25  # bytes of a transforms.json: a hundred thousand frames
PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")  # with k1 … p2, where given


def read_transforms(path: Path) -> dict[str, Any]:
    """The file's contents. Raises `SceneError` unless it is JSON with a non-empty list of `frames`."""
    values = read_json(path, FILE_LIMIT, SceneError)
    frames = values.get("frames") if isinstance(values, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise SceneError(f"{path}: has no list of frames")
    return values


def frame_poses(path: Path, values: dict[str, Any]) -> Float[Tensor, "frame 4 4"]:
    """All frames' poses as they are written (OpenGL axes). Raises `SceneError` for one that is missing or not rigid."""
    poses = []
    for number, frame in enumerate(values["frames"]):
        matrix = _matrix(frame.get("transform_matrix"))
        if matrix is None or not bool(is_rigid(matrix)):
            raise SceneError(f"{path}: the transform_matrix of frame {number} is no pose (4x4 numbers, rotation + translation)")
        poses.append(matrix)
    return torch.stack(poses)


def _matrix(rows: Any) -> Float[Tensor, "4 4"] | None:
    """Three or four lists of four numbers, with the last row if it is left out; None for anything else."""
    if not isinstance(rows, list) or len(rows) not in (3, 4):
        return None
    if not all(isinstance(row, list) and len(row) == 4 and all(type(x) in (int, float) for x in row) for row in rows):
        return None
    return torch.tensor([[float(x) for x in row] for row in (*rows[:3], *(rows[3:] or [[0, 0, 0, 1]]))], dtype=torch.float64)


def frame_lens(where: str, own: dict[str, Any], height: int, width: int, integer_centers: bool = False) -> Lens:
    """The lens of one frame, for an image of `height` x `width`: `fl_x` (`fl_y`, `cx`, `cy`), else `camera_angle_x`.

    `own` holds the file's keys and, over them, the frame's. Lengths beside `w` and `h` are for that size and are scaled.
    `where` begins the messages.

    Raises:
        SceneError: neither key is there, or a value is no number that a lens can have.
    """
    try:
        stated_width, stated_height = float(own.get("w", width)), float(own.get("h", height))
        if not 0 < stated_width <= MAX_SIDE or not 0 < stated_height <= MAX_SIDE:
            raise SceneError(f"{where}: an image size of {stated_width}x{stated_height} is none")
        if "fl_x" in own:
            fx = float(own["fl_x"])
            fy = float(own.get("fl_y", fx))
        else:
            fx = fy = 0.5 * stated_width / math.tan(0.5 * float(own["camera_angle_x"]))
        middle = 0.5 if integer_centers else 0.0  # where no principal point is stated it is the image's middle either way
        cx = float(own["cx"]) if "cx" in own else stated_width / 2 - middle
        cy = float(own["cy"]) if "cy" in own else stated_height / 2 - middle
        coefficients = {key: float(own[key]) for key in ("k1", "k2", "k3", "k4", "p1", "p2") if own.get(key)}
    except KeyError:
        raise SceneError(f"{where} has neither fl_x nor camera_angle_x") from None
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise SceneError(f"{where} has intrinsics that are no numbers ({error})") from None
    model = str(own.get("camera_model", "OPENCV")).upper()
    if model not in PINHOLES and model != "OPENCV_FISHEYE":
        known = ", ".join([*PINHOLES, "OPENCV_FISHEYE"])
        raise SceneError(f"{where}: camera_model {model!r} is not read, only {known}: undistort the images first")
    fisheye = model == "OPENCV_FISHEYE" or own.get("is_fisheye") is True
    try:
        lens = Lens(fx, fy, cx, cy, Distortion(fisheye, **coefficients) if coefficients or fisheye else None)
    except InputError as error:
        raise SceneError(f"{where}: {error}") from None
    return stated_lens(lens, (stated_height, stated_width), height, width, where, integer_centers)


def read_camera_path(path: Path) -> Cameras:
    """The cameras of a transforms.json alone, without images; `w` and `h` say their size. Or a nerfstudio camera path.

    Raises:
        InputError: neither of the two.
    """
    values = read_json(path, FILE_LIMIT, SceneError)
    if is_nerfstudio_path(values):
        return nerfstudio_path_cameras(path, values)
    values = read_transforms(path)
    sizes = [[frame.get(side, values.get(side)) for side in ("h", "w")] for frame in values["frames"]]
    if any(size != sizes[0] for size in sizes):
        raise InputError(f"{path}: frames of mixed sizes: use one w and h")
    if not all(type(side) in (int, float) and 1 <= side <= MAX_SIDE for side in sizes[0]):
        raise InputError(f"{path}: needs w and h, the images' size in pixels (1 to {MAX_SIDE})")
    height, width = map(int, sizes[0])
    lenses = [
        frame_lens(f"{path}: frame {number}", {**values, **frame}, height, width) for number, frame in enumerate(values["frames"])
    ]
    intrinsics = torch.tensor([lens.values for lens in lenses], dtype=torch.float32)
    cameras = Cameras(from_opengl(frame_poses(path, values)).float(), intrinsics, height, width)
    check_cameras(str(path), cameras)
    return cameras
