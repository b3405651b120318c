"""Compiled C on the processor: encoding, network and gradients in one pass, a block of points at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _torch
from .backends import fits_kernels
from .native.build import BuildError, library, run

MOST_LAYERS = 10
_Pointers = ctypes.c_void_p * MOST_LAYERS


class _Call(ctypes.Structure):
    """As `Call` in native/network.c."""

    _fields_ = [
        ("scenes", ctypes.c_long), ("points", ctypes.c_long), ("threads", ctypes.c_int), ("layers", ctypes.c_int),
        ("sizes", ctypes.c_int * (MOST_LAYERS + 1)), ("octaves", ctypes.c_int), ("plane_size", ctypes.c_int),
        ("plane_channels", ctypes.c_int), ("volume_size", ctypes.c_int), ("volume_channels", ctypes.c_int),
        ("positions", ctypes.c_void_p), ("inputs", ctypes.c_void_p), ("planes", ctypes.c_void_p), ("volume", ctypes.c_void_p),
        ("weights", _Pointers), ("outputs", ctypes.c_void_p), ("d_outputs", ctypes.c_void_p), ("d_inputs", ctypes.c_void_p),
        ("d_planes", ctypes.c_void_p), ("d_volume", ctypes.c_void_p), ("d_weights", _Pointers), ("kept", _Pointers),
        ("signs", _Pointers),
    ]  # fmt: skip


def missing(device: torch.device) -> str | None:
    """Why this backend cannot run on `device`; None if it can."""
    if device.type != "cpu":
        return f"the cpu backend does not run on {device.type}"
    try:
        library()
    except BuildError as error:
        return str(error)
    return None


def batched_mlp(inputs: Tensor, weights: Sequence[Tensor], rounded: bool = False) -> Tensor:
    """`rounded`: gradients in bfloat16, see `_cpu_bf16`."""
    if not _takes(inputs, *weights) or len(weights) > MOST_LAYERS:
        return _torch.batched_mlp(inputs, weights)
    return _Network.apply(rounded and torch.is_grad_enabled(), None, inputs, None, None, *weights)


def encoded_mlp(
    positions: Tensor,
    octaves: int,
    planes: Tensor | None,
    volume: Tensor | None,
    weights: Sequence[Tensor],
    rounded: bool = False,
) -> Tensor:
    """`rounded`: gradients in bfloat16, see `_cpu_bf16`."""
    if positions.requires_grad or not _takes(positions, planes, volume, *weights) or len(weights) > MOST_LAYERS:
        return _torch.encoded_mlp(positions, octaves, planes, volume, weights)
    return _Network.apply(rounded and torch.is_grad_enabled(), octaves, positions, planes, volume, *weights)


def _takes(inputs: Tensor, *others: Tensor | None) -> bool:
    """The kernels take float32, some points and ten layers, and have no gradient for positions: the reference does the rest."""
    return fits_kernels(inputs, *others) and inputs.numel() > 0


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        rounded: bool,
        octaves: int | None,
        inputs: Tensor,
        planes: Tensor | None,
        volume: Tensor | None,
        *weights: Tensor,
    ) -> Tensor:
        _check_shapes(octaves, inputs, planes, volume, weights)
        tensors = [None if t is None else t.detach().contiguous() for t in (inputs, planes, volume, *weights)]
        call = _call(octaves, *tensors)
        outputs = inputs.new_empty(*inputs.shape[:2], weights[-1].shape[1])
        call.outputs = _address(outputs)
        kept = _keep(call, rounded, *ctx.needs_input_grad[2:])
        run("network_run", call)
        ctx.octaves = octaves
        ctx.save_for_backward(*tensors, *kept)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, d_outputs: Tensor):
        wanted = ctx.needs_input_grad[2:]
        tensors, kept = ctx.saved_tensors[: len(wanted)], ctx.saved_tensors[len(wanted) :]
        gradients = [torch.empty_like(t) if want else None for t, want in zip(tensors, wanted, strict=True)]
        d_outputs = d_outputs.contiguous()
        call = _call(ctx.octaves, *tensors)
        call.d_outputs = _address(d_outputs)
        _tell_kept(call, kept)
        call.d_inputs, call.d_planes, call.d_volume, *d_weights = (_address(g) for g in gradients)
        call.d_weights[: len(d_weights)] = d_weights
        run("network_run", call)
        return None, None, *gradients


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _check_shapes(octaves: int | None, inputs: Tensor, planes: Tensor | None, volume: Tensor | None, weights) -> None:
    """The kernels trust what they are told, and would read beyond the end of a tensor."""
    features = inputs.shape[2] if octaves is None else 4 + 6 * octaves
    features += 0 if planes is None else 3 * planes.shape[2]
    features += 0 if volume is None else volume.shape[2]
    fits = octaves is None or inputs.shape[2] == 3
    fits &= all(t is None or t.shape[0] == inputs.shape[0] for t in (planes, volume, *weights))
    fits &= planes is None or (planes.shape[1] == 3 and planes.shape[3] == planes.shape[4] > 1)
    fits &= volume is None or (
        volume.shape[3] == volume.shape[4] == volume.shape[5] > 1 and volume.shape[2] >= weights[-1].shape[1]
    )
    for matrix in weights:
        fits &= matrix.shape[2] == features
        features = matrix.shape[1]
    if not fits:
        shapes = [None if t is None else tuple(t.shape) for t in (inputs, planes, volume, *weights)]
        raise ValueError(f"inputs, planes, volume and weights of shapes {shapes} do not fit together")


def _call(octaves: int | None, inputs: Any, planes: Any, volume: Any, *weights: Any) -> _Call:
    call = _Call(scenes=inputs.shape[0], points=inputs.shape[1], threads=torch.get_num_threads(), layers=len(weights))
    call.sizes[: len(weights) + 1] = [weights[0].shape[2], *(w.shape[1] for w in weights)]
    call.weights[: len(weights)] = [_address(w) for w in weights]
    if octaves is None:
        call.inputs = _address(inputs)
        return call
    call.octaves, call.positions = octaves, _address(inputs)
    call.planes, call.volume = _address(planes), _address(volume)
    if planes is not None:
        call.plane_channels, call.plane_size = planes.shape[2:4]
    if volume is not None:
        call.volume_channels, call.volume_size = volume.shape[2:4]
    return call


def _keep(call: _Call, rounded: bool, inputs: bool, planes: bool, volume: bool, *weights: bool) -> list[Tensor]:
    """Room for what the forward pass keeps for the backward pass, given which gradients that one is asked for.

    Layers' inputs for one in bfloat16; hidden values' signs for one that asks for no matrix's gradient; else nothing. Each
    layer has a tensor of its own: one block for all would be too large for torch to use again.
    """
    if not any(weights):
        if not (inputs or planes or volume):
            return []
        layers, kind, room = range(1, len(weights)), torch.int8, "network_signs"
    else:
        layers, kind, room = range(len(weights) if rounded else 0), torch.float32, "network_kept"
    kept = [torch.empty(_room(call, room, layer), dtype=kind, device="cpu") for layer in layers]
    _tell_kept(call, kept)
    return kept


def _tell_kept(call: _Call, kept: Sequence[Tensor]) -> None:
    for layer, tensor in enumerate(kept):
        if tensor.dtype == torch.int8:
            call.signs[layer + 1] = _address(tensor)
        else:
            call.kept[layer] = _address(tensor)


def _room(call: _Call, function: str, layer: int) -> int:
    count = getattr(library(), function)
    count.restype = ctypes.c_size_t
    return count(ctypes.byref(call), layer)
