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


def gathered_product(values: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(values, (0, 0, 0, 1))
    # rows of all scenes at once: along its second dimension torch takes twice as long to select
    starts = torch.arange(len(values), device=values.device)[:, None] * padded.shape[1]
    rows = padded.flatten(0, 1).index_select(0, (starts + source.flatten()).flatten())
    return torch.bmm(weight.expand(len(values), -1, -1), rows.view(len(values), len(source), weight.shape[1]).transpose(1, 2))
