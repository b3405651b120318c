"""The reference: what every fast backend must agree with, in outputs and gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def batched_mlp(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    hidden = inputs
    for matrix in weights[:-1]:
        hidden = torch.relu(hidden @ matrix.transpose(-1, -2))
    return hidden @ weights[-1].transpose(-1, -2)
