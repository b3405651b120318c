"""Compiled C on the processor: a ray at a time, from its chord to its points."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ..types import RayBundle
from .native.build import run

MOST_BINS = 256  # as in native/march.c


class _March(ctypes.Structure):
    """As `March` in native/march.c."""

    _fields_ = [
        ("scenes", ctypes.c_long), ("rays", ctypes.c_long), ("size", ctypes.c_long), ("threads", ctypes.c_int),
        ("grids", ctypes.c_int), ("bins", ctypes.c_int), ("samples", ctypes.c_int), ("origins", ctypes.c_void_p),
        ("directions", ctypes.c_void_p), ("cells", ctypes.c_void_p), ("jitter", ctypes.c_void_p), ("distances", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
    ]  # fmt: skip


def march(rays: RayBundle, cells: Tensor, samples: int, jitter: Tensor | None, bins: int) -> tuple[Tensor, Tensor]:
    """Distances [scene, ray, sample], and the length that each point of a ray stands for [scene, ray]. All is float32."""
    scenes, count, _ = rays.origins.shape
    fits = (
        rays.directions.shape == (scenes, count, 3)
        and cells.shape[0] in (1, scenes)
        and cells.ndim == 4
        and cells.shape[1] > 0
        and cells.dtype == torch.bool
        and cells.device.type == "cpu"
    )
    if not fits or len(set(cells.shape[1:])) > 1 or not 0 < bins <= MOST_BINS:
        shapes = [tuple(t.shape) for t in (rays.origins, rays.directions, cells)]  # the kernel would read beyond a tensor's end
        raise ValueError(f"rays and cells of shapes {shapes} and {bins} bins do not fit together")
    origins, directions, cells = rays.origins.contiguous(), rays.directions.contiguous(), cells.contiguous()
    jitter = None if jitter is None else jitter.expand(scenes, count, samples).float().contiguous()
    distances, lengths = origins.new_empty(scenes, count, samples), origins.new_empty(scenes, count)
    call = _March(
        scenes=scenes, rays=count, size=cells.shape[1], threads=torch.get_num_threads(), grids=len(cells), bins=bins,
        samples=samples, origins=origins.data_ptr(), directions=directions.data_ptr(), cells=cells.data_ptr(),
        jitter=None if jitter is None else jitter.data_ptr(), distances=distances.data_ptr(), lengths=lengths.data_ptr(),
    )  # fmt: skip
    run("march_run", call)
    return distances, lengths
