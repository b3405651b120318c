"""Compiled C on the processor: projection, samples and their statistics over the views, some places at a time."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ..geometry import projections
from ..types import Cameras
from .native.build import library


class _Call(ctypes.Structure):
    """As `ColorsSeen` in native/colors_seen.c."""

    _fields_ = [
        ("scenes", ctypes.c_long), ("views", ctypes.c_long), ("places", ctypes.c_long), ("rows", ctypes.c_long),
        ("columns", ctypes.c_long), ("threads", ctypes.c_int), ("images", ctypes.c_void_p), ("projections", ctypes.c_void_p),
        ("points", ctypes.c_void_p), ("outputs", ctypes.c_void_p),
    ]  # fmt: skip


def colors_seen(images: Tensor, cameras: Cameras, points: Tensor) -> Tensor:
    """`images` [scene, view, row, column, 4] float32, as are the cameras' numbers and `points` [place, 3]."""
    scenes, views, rows, columns, shown = images.shape
    matrices = projections(cameras).contiguous()
    if matrices.shape != (scenes, views, 3, 4) or shown != 4 or points.shape[1] != 3 or not views:
        shapes = [tuple(t.shape) for t in (images, matrices, points)]  # the kernel would read beyond the end of a tensor
        raise ValueError(f"images, cameras and points of shapes {shapes} do not fit together")
    images, columnwise = images.contiguous(), points.T.contiguous()
    outputs = images.new_empty(scenes, len(points), 8)
    call = _Call(
        scenes=scenes, views=views, places=len(points), rows=rows, columns=columns, threads=torch.get_num_threads(),
        images=images.data_ptr(), projections=matrices.data_ptr(), points=columnwise.data_ptr(), outputs=outputs.data_ptr(),
    )  # fmt: skip
    if library().colors_seen_run(ctypes.byref(call)):
        raise MemoryError("the cpu backend found no memory for its blocks")
    return outputs
