"""Compiled C on the processor, with gradients in bfloat16: outputs are those of the `cpu` backend, to the bit.

Only the backward pass rounds, what its products read, to 8 bits; sums are float32. The forward pass keeps each layer's inputs
for it, two bytes a number: rounded values there would turn units near 0 on or off, which costs ten times as much accuracy.
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
    return _cpu.batched_mlp(inputs, weights, halves=True)


def encoded_mlp(
    positions: Tensor, octaves: int, planes: Tensor | None, volume: Tensor | None, weights: Sequence[Tensor]
) -> Tensor:
    return _cpu.encoded_mlp(positions, octaves, planes, volume, weights, halves=True)
