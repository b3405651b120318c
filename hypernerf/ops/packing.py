"""One flat row of numbers a scene for all of a network's matrices, padded as matrix units want them.

Order: first layer [width, encoded + given], hidden layers [width, width], last layer [16, width], each row-major. `encoded`
and `given` count the input features that a kernel computes itself and those it is given, each padded with zero columns to a
multiple of 16; the outputs are padded with zero rows to 16. Without encoded features this is tiny-cuda-nn's own order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

MULTIPLE = 16  # the matrix units' smallest side


def padded(size: int) -> int:
    """The next multiple of 16."""
    return -(-size // MULTIPLE) * MULTIPLE


@dataclass(frozen=True)
class Layout:
    """Sizes of a network before padding. `depth` counts hidden layers, which is also the number of square matrices plus one."""

    encoded: int  # input features computed by the kernel: the first columns of the first matrix
    given: int  # input features read from memory: its other columns
    width: int
    depth: int
    outputs: int

    @classmethod
    def of(cls, weights: Sequence[Tensor], encoded: int = 0) -> Layout:
        """Raises `ValueError` unless the matrices are one first, any number of equal square ones, and one last."""
        first, last = weights[0], weights[-1]
        width, depth = first.shape[-2], len(weights) - 1
        if depth < 1 or last.shape[-1] != width or any(w.shape[-2:] != (width, width) for w in weights[1:-1]):
            raise ValueError(f"matrices {[tuple(w.shape[-2:]) for w in weights]} are not those of a network of one width")
        if last.shape[-2] > MULTIPLE:
            raise ValueError(f"at most {MULTIPLE} outputs, not {last.shape[-2]}")
        return cls(encoded, first.shape[-1] - encoded, width, depth, last.shape[-2])

    @property
    def size(self) -> int:
        """Numbers a scene, padding included."""
        first = self.width * (padded(self.encoded) + padded(self.given))
        return first + (self.depth - 1) * self.width**2 + MULTIPLE * self.width


def pack(weights: Sequence[Float[Tensor, "scene outputs inputs"]], layout: Layout) -> Float[Tensor, "scene size"]:
    """The matrices as one row a scene; differentiable, so a gradient of the row is one of each matrix."""
    first, last = weights[0], weights[-1]
    parts = [
        _padded_columns(part) for part in first.split([layout.encoded, layout.given], dim=-1) if part.shape[-1]
    ]  # fmt: skip
    last = torch.nn.functional.pad(last, (0, 0, 0, MULTIPLE - layout.outputs))
    return torch.cat([m.flatten(1) for m in (torch.cat(parts, dim=-1), *weights[1:-1], last)], dim=1)


def _padded_columns(matrix: Tensor) -> Tensor:
    return torch.nn.functional.pad(matrix, (0, padded(matrix.shape[-1]) - matrix.shape[-1]))
