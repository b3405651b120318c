"""Compiled C on the processor: some rays' points at a time, from the network's numbers to pixels and back."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..types import RaySamples
from .backends import fits_kernels
from .native.build import run


class _Integral(ctypes.Structure):
    """As `Integral` in native/integrate.c."""

    _fields_ = [
        ("scenes", ctypes.c_long), ("rays", ctypes.c_long), ("samples", ctypes.c_long), ("threads", ctypes.c_int),
        ("length_of_ray", ctypes.c_int), ("shift", ctypes.c_float), ("scale", ctypes.c_float), ("values", ctypes.c_void_p),
        ("distances", ctypes.c_void_p), ("lengths", ctypes.c_void_p), ("background", ctypes.c_void_p), ("color", ctypes.c_void_p),
        ("opacity", ctypes.c_void_p), ("depth", ctypes.c_void_p), ("d_color", ctypes.c_void_p), ("d_opacity", ctypes.c_void_p),
        ("d_depth", ctypes.c_void_p), ("d_values", ctypes.c_void_p),
    ]  # fmt: skip


def takes(values: Tensor, where: RaySamples, background: Tensor) -> bool:
    """All is float32, there are samples, and nothing but `values` has a gradient: the reference does the rest."""
    others = (where.distances, where.lengths, background)
    return fits_kernels(values, *others) and values.numel() > 0 and not any(tensor.requires_grad for tensor in others)


def integrate(values: Tensor, where: RaySamples, background: Tensor, shift: float, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Color, opacity and depth; see `takes`."""
    scenes, rays, samples, numbers = values.shape
    fits = numbers == 4 and background.shape == (scenes, 3)
    if not fits or not where.distances.shape == where.lengths.shape == (scenes, rays, samples):
        shapes = [tuple(t.shape) for t in (values, where.distances, where.lengths, background)]
        raise ValueError(f"values, distances, lengths and background of shapes {shapes} do not fit together")
    return _Integrate.apply(values, where.distances, where.lengths, background, shift, scale)


class _Integrate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, distances: Tensor, lengths: Tensor, background: Tensor, shift: float, scale: float):
        once = lengths.stride(2) == 0  # as `march` gives them
        tensors = [values.detach(), distances, lengths[..., 0] if once else lengths, background]
        tensors = [tensor.contiguous() for tensor in tensors]
        color, opacity, depth = values.new_empty(*values.shape[:2], 3), *(values.new_empty(values.shape[:2]) for _ in range(2))
        call = _call(tensors, shift, scale)
        call.color, call.opacity, call.depth = color.data_ptr(), opacity.data_ptr(), depth.data_ptr()
        run("integrate_run", call)
        ctx.activation = shift, scale
        ctx.save_for_backward(*tensors)
        return color, opacity, depth

    @staticmethod
    @once_differentiable
    def backward(ctx, *slopes: Tensor):
        color, opacity, depth = (slope.contiguous() for slope in slopes)
        call = _call(ctx.saved_tensors, *ctx.activation)
        d_values = torch.empty_like(ctx.saved_tensors[0])
        call.d_color, call.d_opacity, call.d_depth = color.data_ptr(), opacity.data_ptr(), depth.data_ptr()
        call.d_values = d_values.data_ptr()
        run("integrate_run", call)
        return d_values, None, None, None, None, None


def _call(tensors, shift: float, scale: float) -> _Integral:
    values, distances, lengths, background = tensors
    scenes, rays, samples, _ = values.shape
    return _Integral(
        scenes=scenes, rays=rays, samples=samples, threads=torch.get_num_threads(), length_of_ray=lengths.ndim == 2,
        shift=shift, scale=scale, values=values.data_ptr(), distances=distances.data_ptr(), lengths=lengths.data_ptr(),
        background=background.data_ptr(),
    )  # fmt: skip
