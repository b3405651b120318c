"""The reference: what every fast backend must agree with, in outputs and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .encodings import frequency_encoding, sample_planes, sample_volume


def missing(device: torch.device) -> str | None:
    return None


def batched_mlp(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    hidden = inputs
    for matrix in weights[:-1]:
        hidden = (hidden @ matrix.transpose(-1, -2)).relu_()  # in place: the product's own gradient does not need it
    return hidden @ weights[-1].transpose(-1, -2)


def encoded_mlp(
    positions: Tensor,
    octaves: int,
    planes: Tensor | None,
    volume: Tensor | None,
    weights: Sequence[Tensor],
    network: Callable[[Tensor, Sequence[Tensor]], Tensor] = batched_mlp,
) -> Tensor:
    """`network` is another backend's where that has a network but no encoding of its own."""
    features = [frequency_encoding(positions, octaves)]
    if planes is not None:
        features.append(sample_planes(planes, positions))
    if volume is None:
        return network(torch.cat(features, dim=-1), weights)
    features.append(sample_volume(volume, positions))
    output = network(torch.cat(features, dim=-1), weights)
    return output + features[-1][..., : output.shape[-1]]
