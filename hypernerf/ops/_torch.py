"""The reference: what every fast backend must agree with, in outputs and gradients."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def batched_mlp(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    hidden = inputs
    for matrix in weights[:-1]:
        hidden = (hidden @ matrix.transpose(-1, -2)).relu_()  # in place: the product's own gradient does not need it
    return hidden @ weights[-1].transpose(-1, -2)
