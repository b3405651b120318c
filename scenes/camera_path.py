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

from .source import SceneError, check_cameras

MAX_SIDE = 16384
FILE_LIMIT = 1 << 25  # bytes of a transforms.json: a hundred thousand frames


def read_transforms(path: Path) -> dict[str, Any]:
    """The file's contents. Raises `SceneError` unless it is JSON with a non-empty list of `frames`."""
    values = read_json(path, FILE_LIMIT, SceneError)
    frames = values.get("frames") if isinstance(values, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise SceneError(f"{path}: has no list of frames")
    return values


def frame_poses(path: Path, values: dict[str, Any]) -> Float[Tensor, "frame 4 4"]:
    """All frames' poses, in OpenCV axes. Raises `SceneError` for one that is missing or not rigid."""
    poses = []
    for number, frame in enumerate(values["frames"]):
        matrix = _matrix(frame.get("transform_matrix"))
        if matrix is None or not bool(is_rigid(matrix)):
            raise SceneError(f"{path}: the transform_matrix of frame {number} is no pose (4x4 numbers, rotation + translation)")
        poses.append(matrix)
    return from_opengl(torch.stack(poses))


def _matrix(rows: Any) -> Float[Tensor, "4 4"] | None:
    """Three or four lists of four numbers, with the last row if it is left out; None for anything else."""
    if not isinstance(rows, list) or len(rows) not in (3, 4):
        return None
    if not all(isinstance(row, list) and len(row) == 4 and all(type(x) in (int, float) for x in row) for row in rows):
        return None
    return torch.tensor([[float(x) for x in row] for row in (*rows[:3], *(rows[3:] or [[0, 0, 0, 1]]))], dtype=torch.float32)


def frame_intrinsics(path: Path, values: dict[str, Any], height: int, width: int) -> Float[Tensor, "frame 4"]:
    """fx, fy, cx, cy of each frame, from its own keys or the file's: `fl_x` (`fl_y`, `cx`, `cy`), else `camera_angle_x`.

    Lengths in a file that states `w` and `h` are for that size, and scaled to `height` x `width`.
    """
    rows = []
    for number, frame in enumerate(values["frames"]):
        own = {**values, **frame}
        try:
            scale_x, scale_y = width / float(own.get("w", width)), height / float(own.get("h", height))
            if "fl_x" in own:
                fx = float(own["fl_x"]) * scale_x
                fy = float(own.get("fl_y", own["fl_x"])) * scale_y
            else:
                fx = fy = 0.5 * width / math.tan(0.5 * float(own["camera_angle_x"]))
            cx = float(own["cx"]) * scale_x if "cx" in own else width / 2
            cy = float(own["cy"]) * scale_y if "cy" in own else height / 2
        except KeyError:
            raise SceneError(f"{path}: frame {number} has neither fl_x nor camera_angle_x") from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise SceneError(f"{path}: frame {number} has intrinsics that are no numbers ({error})") from None
        rows.append([fx, fy, cx, cy])
    result = torch.tensor(rows, dtype=torch.float32)
    usable = torch.isfinite(result).all(1) & (result[:, :2] > 0).all(1)
    if not bool(usable.all()):
        raise SceneError(f"{path}: frame {int((~usable).nonzero()[0])}: focal lengths must be positive and finite")
    return result


def read_camera_path(path: Path) -> Cameras:
    """The cameras of a transforms.json alone, without images; `w` and `h` say their size. Raises `InputError`."""
    values = read_transforms(path)
    sizes = [[frame.get(side, values.get(side)) for side in ("h", "w")] for frame in values["frames"]]
    if any(size != sizes[0] for size in sizes):
        raise InputError(f"{path}: frames of mixed sizes: use one w and h")
    if not all(type(side) in (int, float) and 1 <= side <= MAX_SIDE for side in sizes[0]):
        raise InputError(f"{path}: needs w and h, the images' size in pixels (1 to {MAX_SIDE})")
    height, width = map(int, sizes[0])
    cameras = Cameras(frame_poses(path, values), frame_intrinsics(path, values, height, width), height, width)
    check_cameras(str(path), cameras)
    return cameras
