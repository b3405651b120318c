"""Compiled C on the processor, with gradients in bfloat16: outputs are those of the `cpu` backend, to the bit.

The backward pass rounds what its products read to 8 bits (weights, inputs and hidden values, and their gradients) and sums in
float32; the gradients' relative error is about 5e-3. Rounding in the forward pass too would turn units near 0 on or off, and cost
ten times as much. It keeps each layer's inputs for the backward pass instead, two bytes a number.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import _cpu
from .native.build import library


def missing(device: torch.device) -> str | None:
    """Why this backend cannot run on `device`; None if it can."""
    reason = _cpu.missing(device)
    if reason is None and not library().network_multiplies_bfloat16():
        return "this processor, or its C compiler, has no bfloat16 products (AVX-512-BF16): choose cpu"
    return reason


def batched_mlp(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    return _cpu.batched_mlp(inputs, weights, rounded=True)


def encoded_mlp(
    positions: Tensor, octaves: int, planes: Tensor | None, volume: Tensor | None, weights: Sequence[Tensor]
) -> Tensor:
    return _cpu.encoded_mlp(positions, octaves, planes, volume, weights, rounded=True)
