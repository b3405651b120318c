"""How well predicted deviations tell true errors."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sparsification_error(deviation: Float[Tensor, " value"], error: Float[Tensor, " value"], steps: int = 100) -> float:
    """Area between two curves of the mean error left when a share of the pixels is taken away: those of most deviation, or of
    most error (Ilg et al. 2018). In units of the mean error; 0 is a perfect order."""
    left = [torch.linspace(0, 1, steps + 1)[:-1].mul(len(error)).long()] * 2
    kept = [error[order.argsort(descending=True)].flip(0).double().cumsum(0).flip(0) for order in (deviation, error)]
    by_deviation, by_error = (sums[first] / (len(error) - first) for sums, first in zip(kept, left, strict=True))
    return float((by_deviation - by_error).mean() / error.double().mean())


def coverage(deviation: Float[Tensor, " value"], error: Float[Tensor, " value"], within: float) -> float:
    """Share of errors below `within` deviations; 0.68 and 0.95 of them for 1 and 2 if errors were Gaussian."""
    return float((error <= within * deviation).float().mean())
