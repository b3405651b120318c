"""How fast a field is drawn while a camera turns around it: no browser, no server."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ..fields import SceneField
from ..geometry import orbit_cameras
from .draw import MOVING_SAMPLES
from .picture import Subject, View, draw_picture

TURN = 36  # pictures


@dataclass(frozen=True)
class Speed:
    pictures: int
    seconds: float  # of all
    median: float  # seconds of one
    processor: float  # seconds of processor time of one, mean over all threads' sum


def orbit_speed(field: SceneField, size: int = 128, seconds: float = 10.0) -> Speed:
    """Draws pictures as a moving camera gets them, up to one turn or `seconds`; the first is for warming up."""
    cameras = orbit_cameras(
        TURN, distance=field.camera_distance, elevation_degrees=20.0, size=(size, size),
        field_of_view_degrees=field.field_of_view_degrees, up=torch.tensor(field.up),
    )  # fmt: skip
    angle = torch.deg2rad(torch.tensor(field.field_of_view_degrees)).item()
    subject, times = Subject.of(field), []
    draw_picture(subject, _view(cameras.camera_to_world[0], angle, size), size, MOVING_SAMPLES)
    started, processor = time.perf_counter(), time.process_time()
    for pose in cameras.camera_to_world:
        before = time.perf_counter()
        draw_picture(subject, _view(pose, angle, size), size, MOVING_SAMPLES)
        times.append(time.perf_counter() - before)
        if time.perf_counter() - started > seconds:
            break
    total, work = time.perf_counter() - started, time.process_time() - processor
    return Speed(len(times), total, sorted(times)[len(times) // 2], work / len(times))


def _view(pose: torch.Tensor, angle: float, size: int) -> View:
    rows = tuple(tuple(row) for row in pose[:3, :3].tolist())
    x, y, z = pose[:3, 3].tolist()
    return View((x, y, z), rows, angle, size, size)
