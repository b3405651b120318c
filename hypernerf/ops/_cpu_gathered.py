"""Compiled C on the processor: a product of gathered rows, of which only a few groups are ever laid out."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _torch
from .backends import fits_kernels
from .native.build import run


class _Call(ctypes.Structure):
    """As `Gathered` in native/gathered.c."""

    _fields_ = [
        ("scenes", ctypes.c_long), ("places", ctypes.c_long), ("groups", ctypes.c_long), ("threads", ctypes.c_int),
        ("within", ctypes.c_int), ("colors", ctypes.c_int), ("channels", ctypes.c_int), ("source", ctypes.c_void_p),
        ("values", ctypes.c_void_p), ("weight", ctypes.c_void_p), ("outputs", ctypes.c_void_p), ("d_outputs", ctypes.c_void_p),
        ("d_weight", ctypes.c_void_p),
    ]  # fmt: skip


def gathered_product(values: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    if values.requires_grad or not fits_kernels(values, weight):  # what the kernels are not written for
        return _torch.gathered_product(values, source, weight)
    return _GatheredProduct.apply(values, source, weight)


class _GatheredProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, source: Tensor, weight: Tensor) -> Tensor:
        if values.ndim != 3 or source.ndim != 2 or weight.shape[1] != source.shape[1] * values.shape[2]:
            shapes = [tuple(t.shape) for t in (values, source, weight)]  # the kernels would read beyond the end of a tensor
            raise ValueError(f"values, source and weight of shapes {shapes} do not fit together")
        if source.numel() and not 0 <= int((ends := source.aminmax()).min) <= int(ends.max) <= values.shape[1]:
            raise ValueError(f"source must name places in 0..{values.shape[1]}")
        values, source, weight = values.detach().contiguous(), source.int().contiguous(), weight.detach().contiguous()
        outputs = values.new_empty(len(values), len(weight), len(source))
        call = _call(values, source, weight)
        call.outputs = outputs.data_ptr()
        run("gathered_run", call)
        ctx.save_for_backward(values, source, weight)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, d_outputs: Tensor):
        values, source, weight = ctx.saved_tensors
        d_weight, d_outputs = torch.empty_like(weight), d_outputs.contiguous()
        call = _call(values, source, weight)
        call.d_outputs, call.d_weight = d_outputs.data_ptr(), d_weight.data_ptr()
        run("gathered_run", call)
        return None, None, d_weight


def _call(values: Tensor, source: Tensor, weight: Tensor) -> _Call:
    return _Call(
        scenes=values.shape[0], places=values.shape[1], groups=source.shape[0], threads=torch.get_num_threads(),
        within=source.shape[1], colors=values.shape[2], channels=weight.shape[0], source=source.data_ptr(),
        values=values.data_ptr(), weight=weight.data_ptr(),
    )  # fmt: skip
