"""`transforms.json`: cameras in the form of NeRF-synthetic and nerfstudio (OpenGL axes, camera-to-world)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.geometry import from_opengl, is_rigid
from hypernerf.types import Cameras, InputError

from .nerfstudio_path import is_nerfstudio_path, nerfstudio_path_cameras
from .source import SceneError

MAX_SIDE = 16384


def read_json(path: Path) -> Any:
    """The file's contents. Raises `SceneError` unless it is JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise SceneError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SceneError(f"{path}: cannot be read as JSON ({error})") from None


def read_transforms(path: Path) -> dict[str, Any]:
    """The file's contents. Raises `SceneError` unless it is JSON with a non-empty list of `frames`."""
    values = read_json(path)
    frames = values.get("frames") if isinstance(values, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise SceneError(f"{path}: has no list of frames")
    return values


def frame_poses(path: Path, values: dict[str, Any]) -> Float[Tensor, "frame 4 4"]:
    """All frames' poses, in OpenCV axes. Raises `SceneError` for one that is missing or not rigid."""
    poses = []
    for number, frame in enumerate(values["frames"]):
        try:
            matrix = torch.tensor(frame["transform_matrix"], dtype=torch.float32)
        except (KeyError, TypeError, ValueError):
            raise SceneError(f"{path}: frame {number} has no transform_matrix of numbers") from None
        if matrix.shape == (3, 4):
            matrix = torch.cat([matrix, torch.tensor([[0.0, 0.0, 0.0, 1.0]])])
        if matrix.shape != (4, 4) or not bool(is_rigid(matrix)):
            raise SceneError(f"{path}: the transform_matrix of frame {number} is no pose (4x4, rotation + translation)")
        poses.append(matrix)
    return from_opengl(torch.stack(poses))


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
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise SceneError(f"{path}: frame {number} has intrinsics that are no numbers ({error})") from None
        if not all(map(math.isfinite, (fx, fy, cx, cy))) or min(fx, fy) <= 0:
            raise SceneError(f"{path}: frame {number}: focal lengths must be positive and finite")
        rows.append([fx, fy, cx, cy])
    return torch.tensor(rows, dtype=torch.float32)


def read_camera_path(path: Path) -> Cameras:
    """The cameras of a transforms.json alone, without images; `w` and `h` say their size. Or a nerfstudio camera path.

    Raises:
        InputError: neither of the two.
    """
    values = read_json(path)
    if is_nerfstudio_path(values):
        return nerfstudio_path_cameras(path, values)
    values = read_transforms(path)
    sizes = {(frame.get("h", values.get("h")), frame.get("w", values.get("w"))) for frame in values["frames"]}
    if len(sizes) > 1:
        raise InputError(f"{path}: frames of mixed sizes: use one w and h")
    ((height, width),) = sizes
    if not all(isinstance(side, (int, float)) and 1 <= side <= MAX_SIDE for side in (height, width)):
        raise InputError(f"{path}: needs w and h, the images' size in pixels (1 to {MAX_SIDE})")
    height, width = int(height), int(width)
    return Cameras(frame_poses(path, values), frame_intrinsics(path, values, height, width), height, width)
