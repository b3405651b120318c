"""Compiled C on the processor: what views show at points, some places at a time, and never written down view by view."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..geometry import projections
from ..types import Cameras
from .native.build import run

COLORS = 8
GROUP, CHANNELS = 16, 64  # channels of feature maps are multiples of the one and at most the other: native/features_seen.c


class _Colors(ctypes.Structure):
    """As `ColorsSeen` in native/colors_seen.c."""

    _fields_ = [
        ("scenes", ctypes.c_long), ("views", ctypes.c_long), ("places", ctypes.c_long), ("rows", ctypes.c_long),
        ("columns", ctypes.c_long), ("threads", ctypes.c_int), ("images", ctypes.c_void_p), ("projections", ctypes.c_void_p),
        ("points", ctypes.c_void_p), ("outputs", ctypes.c_void_p),
    ]  # fmt: skip


class _Features(ctypes.Structure):
    """As `FeaturesSeen` in native/features_seen.c."""

    _fields_ = [
        ("scenes", ctypes.c_long), ("views", ctypes.c_long), ("places", ctypes.c_long), ("rows", ctypes.c_long),
        ("columns", ctypes.c_long), ("channels", ctypes.c_long), ("threads", ctypes.c_int), ("shift", ctypes.c_float * 2),
        ("maps", ctypes.c_void_p), ("projections", ctypes.c_void_p), ("points", ctypes.c_void_p), ("mean", ctypes.c_void_p),
        ("most", ctypes.c_void_p), ("d_mean", ctypes.c_void_p), ("d_most", ctypes.c_void_p), ("d_maps", ctypes.c_void_p),
    ]  # fmt: skip


def colors_seen(images: Tensor, cameras: Cameras, points: Tensor) -> Tensor:
    """`images` [scene, view, row, column, 4] float32, as are the cameras' numbers and `points` [place, 3]."""
    matrices, points = _checked(images, cameras, points)
    scenes, views, rows, columns, shown = images.shape
    if shown != 4:
        raise ValueError(f"a pixel has 4 numbers, not {shown}")
    images, outputs = images.contiguous(), images.new_empty(scenes, points.shape[1], COLORS)
    call = _Colors(
        scenes=scenes, views=views, places=points.shape[1], rows=rows, columns=columns, threads=torch.get_num_threads(),
        images=images.data_ptr(), projections=matrices.data_ptr(), points=points.data_ptr(), outputs=outputs.data_ptr(),
    )  # fmt: skip
    run("colors_seen_run", call)
    return outputs


def takes(channels: int) -> bool:
    """Whether the kernel is written for so many: the reference does the rest."""
    return 0 < channels <= CHANNELS and channels % GROUP == 0


def features_seen(maps: Tensor, cameras: Cameras, points: Tensor, shift: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """`maps` [scene, view, channel, row, column] float32, and the rest of the same type."""
    last = maps.permute(0, 1, 3, 4, 2)
    if not takes(last.shape[-1]):
        raise ValueError(f"the kernel takes multiples of {GROUP} channels up to {CHANNELS}, not {last.shape[-1]}")
    return _FeaturesSeen.apply(last, *_checked(last, cameras, points), shift)


class _FeaturesSeen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, maps: Tensor, matrices: Tensor, points: Tensor, shift: tuple[float, float]) -> tuple[Tensor, Tensor]:
        maps = maps.detach().contiguous()
        mean, most = (maps.new_empty(maps.shape[0], maps.shape[4], points.shape[1]) for _ in range(2))
        call = _features_call(maps, matrices, points, shift)
        call.mean, call.most = mean.data_ptr(), most.data_ptr()
        run("features_seen_run", call)
        ctx.shift = shift
        ctx.save_for_backward(maps, matrices, points)
        return mean, most

    @staticmethod
    @once_differentiable
    def backward(ctx, d_mean: Tensor, d_most: Tensor):
        maps, matrices, points = ctx.saved_tensors
        d_maps, d_mean, d_most = torch.empty_like(maps), d_mean.contiguous(), d_most.contiguous()
        call = _features_call(maps, matrices, points, ctx.shift)
        call.d_mean, call.d_most, call.d_maps = d_mean.data_ptr(), d_most.data_ptr(), d_maps.data_ptr()
        run("features_seen_run", call)
        return d_maps, None, None, None


def _features_call(maps: Tensor, matrices: Tensor, points: Tensor, shift: tuple[float, float]) -> _Features:
    scenes, views, rows, columns, channels = maps.shape
    return _Features(
        scenes=scenes, views=views, places=points.shape[1], rows=rows, columns=columns, channels=channels,
        threads=torch.get_num_threads(), shift=shift, maps=maps.data_ptr(), projections=matrices.data_ptr(),
        points=points.data_ptr(),
    )  # fmt: skip


def _checked(images: Tensor, cameras: Cameras, points: Tensor) -> tuple[Tensor, Tensor]:
    """Projections [scene, view, 3, 4] and points [3, place], as the kernels read them, which would read beyond a tensor's end."""
    matrices = projections(cameras).contiguous()
    fits = matrices.shape == (*images.shape[:2], 3, 4) and points.ndim == 2 and points.shape[1] == 3 and images.shape[1] > 0
    if not fits or not images.dtype == matrices.dtype == points.dtype == torch.float32:
        kinds = [(tuple(t.shape), t.dtype) for t in (images, matrices, points)]
        raise ValueError(f"images, cameras and points of {kinds} do not fit together")
    return matrices, points.T.contiguous()
