"""Triton kernels over (scene, tile of points): encoding, network and gradients in one launch each. Not yet run on a GPU.

bfloat16 products with float32 sums on a GPU; float32 throughout where Triton's interpreter runs the kernels on a CPU
(`TRITON_INTERPRET=1`), which is how they are tested.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _torch
from .encodings import sample_planes, sample_volume
from .packing import MULTIPLE, Layout, pack, padded

OLDEST = (3, 6)  # Triton: the oldest that the kernels were compiled with
WIDTHS = (16, 32, 64, 128)
MOST_SUMS = 1 << 14  # numbers of dL/dW that one program can keep in registers
# (points a tile, warps): what the compiler can keep in registers at width 64, for an H100
FORWARD_TILE, BACKWARD_TILE = (128, 4), (64, 8)


def missing(device: torch.device) -> str | None:
    """Why this backend cannot run on `device`; None if it can."""
    try:
        found = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return "Triton is not installed (pip install triton)"
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        return f"Triton {found} is too old (install torch 2.10 or newer, which brings Triton 3.6)"
    if device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1":
        return None
    return f"Triton's kernels run on a GPU, not on {device.type} (TRITON_INTERPRET=1 interprets them, slowly)"


def batched_mlp(inputs: Tensor, weights: Sequence[Tensor], counts: Tensor | None = None) -> Tensor:
    """As the reference. `counts` [scene], int32: how many points of each scene there are; rows from there on are zero."""
    if not _takes(inputs, weights):
        return _torch.batched_mlp(inputs, weights)
    layout = Layout.of(weights)
    return _Network.apply(layout, 0, None, inputs, pack(weights, layout), counts)


def encoded_mlp(
    positions: Tensor,
    octaves: int,
    planes: Tensor | None,
    volume: Tensor | None,
    weights: Sequence[Tensor],
    counts: Tensor | None = None,
) -> Tensor:
    """As the reference; `counts` as in `batched_mlp`. Planes and volume are read by torch, the frequencies in the kernel."""
    if positions.requires_grad or not _takes(positions, weights):
        return _torch.encoded_mlp(positions, octaves, planes, volume, weights)
    features = [] if planes is None else [sample_planes(planes, positions)]
    if volume is not None:
        features.append(sample_volume(volume, positions))
    given = torch.cat(features, dim=-1) if features else None
    layout = Layout.of(weights, 4 + 6 * octaves)
    output = _Network.apply(layout, octaves, positions, given, pack(weights, layout), counts)
    return output if volume is None else output + features[-1][..., : output.shape[-1]]


def _takes(inputs: Tensor, weights: Sequence[Tensor]) -> bool:
    """The kernels are for float32 networks of one width with up to 16 outputs: the reference does the rest.

    (Also the gradient of positions. Directional fields' trunks end in a hidden layer, which is too many outputs.)
    """
    return (
        inputs.dtype == weights[0].dtype == torch.float32
        and len(weights) > 1
        and weights[-1].shape[-2] <= MULTIPLE
        and {w.shape[-2] for w in weights[:-1]} <= {weights[0].shape[-2]} & set(WIDTHS)
    )


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, layout: Layout, octaves: int, positions: Tensor | None, given: Tensor | None, packed: Tensor, counts: Tensor | None
    ) -> Tensor:
        from .kernels.mlp_forward import mlp_forward

        ctx.layout, ctx.octaves = layout, octaves
        ctx.save_for_backward(positions, given, packed, counts)
        scenes, points, device = _shape(layout, positions, given, packed, counts)
        create = packed.new_empty if counts is None else packed.new_zeros
        outputs = create(scenes, points, layout.outputs)
        if outputs.numel():
            tile = _tile(device, FORWARD_TILE)
            grid = (_programs(device, scenes, points, tile), scenes)
            arguments = (*_strided(positions), *_strided(given), _narrow(packed), packed.shape[1], counts, outputs, points)
            mlp_forward[grid](*arguments, **_constants(layout, octaves, device, tile))
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients: Tensor):
        from .kernels.mlp_backward import mlp_backward

        layout: Layout = ctx.layout
        positions, given, packed, counts = ctx.saved_tensors
        scenes, points, device = _shape(layout, positions, given, packed, counts)
        tile = _tile(device, BACKWARD_TILE)
        grid = (_programs(device, scenes, points, tile), scenes)
        partial = packed.new_empty(scenes, grid[0], layout.size)
        d_given = None
        if given is not None and ctx.needs_input_grad[3]:
            d_given = (torch.empty if counts is None else torch.zeros)(given.shape, device=device)
        gradients, narrow = gradients.contiguous(), _narrow(packed)
        for low, high in launches(layout) if scenes else ():
            into = d_given if low == 0 else None
            arguments = (*_strided(positions), *_strided(given), narrow, packed.shape[1], counts, gradients, into, partial)
            constants = _constants(layout, ctx.octaves, device, tile)
            mlp_backward[grid](*arguments, points, layout.size, **constants, LOW=low, HIGH=high)
        return None, None, None, d_given, partial.sum(1), None


def launches(layout: Layout) -> list[tuple[int, int]]:
    """Ranges [low, high) of matrices whose gradients one launch can keep in registers, from first to last."""
    square = layout.width**2
    sizes = [layout.width * (padded(layout.encoded) + padded(layout.given)), *[square] * (layout.depth - 1), 16 * layout.width]
    ranges, low = [], 0
    for high in range(1, len(sizes) + 1):
        if high == len(sizes) or sum(sizes[low : high + 1]) > MOST_SUMS:
            ranges.append((low, high))
            low = high
    return ranges


def _shape(
    layout: Layout, positions: Tensor | None, given: Tensor | None, packed: Tensor, counts: Tensor | None
) -> tuple[int, int, torch.device]:
    """(scenes, points, device). The kernels trust what they are told, and would read beyond the end of a tensor."""
    place = given if positions is None else positions
    assert place is not None
    scenes, points = place.shape[:2]
    fits = packed.shape == (scenes, layout.size) and (layout.encoded > 0) == (positions is not None)
    fits &= positions is None or positions.shape == (scenes, points, 3)
    fits &= (given is None and layout.given == 0) or (given is not None and given.shape == (scenes, points, layout.given))
    fits &= counts is None or (counts.shape == (scenes,) and counts.dtype == torch.int32)
    if not fits:
        shapes = [None if t is None else tuple(t.shape) for t in (positions, given, counts)]
        raise ValueError(f"positions, features and counts of shapes {shapes} do not fit {layout} of {len(packed)} scenes")
    return scenes, points, place.device


def _strided(tensor: Tensor | None) -> tuple:
    return (None, 0, 0, 0) if tensor is None else (tensor, *tensor.stride())


def _narrow(packed: Tensor) -> Tensor:
    return packed.to(torch.bfloat16) if packed.is_cuda else packed


def _tile(device: torch.device, best: tuple[int, int]) -> tuple[int, int]:
    return best if device.type == "cuda" else (32, 4)  # small: tests are to see many tiles


def _programs(device: torch.device, scenes: int, points: int, tile: tuple[int, int]) -> int:
    """Programs a scene: as many as the device runs at once (8 warps a multiprocessor), no more than tiles."""
    resident = 4 if device.type != "cuda" else torch.cuda.get_device_properties(device).multi_processor_count * 8 // tile[1]
    return max(1, min(-(-points // tile[0]), -(-resident // max(1, scenes))))


def _constants(layout: Layout, octaves: int, device: torch.device, tile: tuple[int, int]) -> dict:
    """What the kernels are compiled for."""
    import triton.language as tl

    encoded, given = padded(layout.encoded), padded(layout.given)
    return {
        "OCTAVES": octaves, "FEATURES": layout.given, "OUTPUTS": layout.outputs,
        "ENCODED": encoded, "ENCODED_PIECE": _piece(encoded), "GIVEN": given, "GIVEN_PIECE": _piece(given),
        "WIDTH": layout.width, "DEPTH": layout.depth, "ROWS": tile[0],
        "DTYPE": tl.bfloat16 if device.type == "cuda" else tl.float32, "num_warps": tile[1] if layout.width <= 64 else 8,
    }  # fmt: skip


def _piece(columns: int) -> int:
    """The greatest power of two, up to 64, that divides a number of columns."""
    return min(64, columns & -columns) or MULTIPLE
