"""tiny-cuda-nn's FullyFusedMLP with weights that are arguments, one call a scene. Not yet run on a GPU.

Müller et al. 2021, in float16. Padding to what it takes and the scaling of gradients to what float16 holds happen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _torch
from .packing import MULTIPLE, Layout, pack, padded

WIDTHS = (16, 32, 64, 128)
GRANULARITY = 256  # points a call come in multiples of this
LARGEST = 8192.0  # what the outputs' gradients, in absolute value, may sum to: float16 ends at 65504


def missing(device: torch.device) -> str | None:
    """Why this backend cannot run on `device`; None if it can."""
    if device.type != "cuda":
        return f"tiny-cuda-nn runs on a GPU, not on {device.type}"
    try:
        import tinycudann  # noqa: F401
    except (ImportError, OSError) as error:
        return f"tiny-cuda-nn cannot be imported ({error}; docs/gpu.md says how to build it)"
    return None


def batched_mlp(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """As the reference, for networks of one width with up to 16 outputs: the reference itself does the rest."""
    width = weights[0].shape[-2]
    fits = len(weights) > 1 and width in WIDTHS and all(w.shape[-2] == width for w in weights[:-1])
    if not fits or weights[-1].shape[-2] > MULTIPLE or not inputs.numel():
        return _torch.batched_mlp(inputs, weights)
    layout = Layout.of(weights)
    columns, points = padded(layout.given), inputs.shape[1]
    native = _native(columns, layout.width, layout.depth)
    whole = torch.nn.functional.pad(inputs.float(), (0, columns - layout.given, 0, -points % GRANULARITY))
    rows = pack(weights, layout).half()
    outputs = [_Scene.apply(native, x, w) for x, w in zip(whole.unbind(), rows.unbind(), strict=True)]
    return torch.stack(outputs)[:, :points, : layout.outputs].to(inputs.dtype)


def encoded_mlp(
    positions: Tensor, octaves: int, planes: Tensor | None, volume: Tensor | None, weights: Sequence[Tensor]
) -> Tensor:
    return _torch.encoded_mlp(positions, octaves, planes, volume, weights, batched_mlp)


@lru_cache
def _native(inputs: int, width: int, depth: int) -> Any:
    """The library's own network, whose parameters stay unused."""
    import tinycudann

    config = {
        "otype": "FullyFusedMLP", "activation": "ReLU", "output_activation": "None", "n_neurons": width, "n_hidden_layers": depth
    }  # fmt: skip
    return tinycudann.Network(inputs, MULTIPLE, config).native_tcnn_module


class _Scene(torch.autograd.Function):
    """[point, 16] of inputs [point, feature] in float32 and weights [size] in float16."""

    @staticmethod
    def forward(ctx, native: Any, inputs: Tensor, weights: Tensor) -> Tensor:
        inputs, weights = inputs.contiguous(), weights.contiguous()
        ctx.native = native
        ctx.state, output = native.fwd(inputs, weights)
        ctx.save_for_backward(inputs, weights, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        gradient = gradient.float()
        # one product with a layer's activations sums over all points: no such sum may leave float16's range
        scale = LARGEST / gradient.abs().sum(0).amax().clamp_min(1e-20)
        found = ctx.native.bwd(ctx.state, *ctx.saved_tensors, (gradient * scale).half().contiguous())
        return None, *(None if d is None else d.float() / scale for d in found)
