"""Memory beside the heap, for what stays a while and then goes.

Blocks of the heap that come and go between those of training leave holes in it that fit nothing else, and it grows. Pages that
are mapped for themselves go back to the system, whole, as soon as nothing in them is used any more.
"""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

BLOCK = 4 << 20  # bytes mapped at a time; what is never touched of them takes no memory
_ALIGNMENT = 64  # of each tensor: a line of the cache


class Pages:
    """Where tensors that will be let go together lie one after the other."""

    def __init__(self) -> None:
        self._block, self._used = torch.empty(0, dtype=torch.uint8), 0

    def copied(self, value: Tensor) -> Tensor:
        """`value`, in pages that are there for as long as any tensor in them."""
        size = value.numel() * value.element_size()
        start = -(-self._used // _ALIGNMENT) * _ALIGNMENT
        if start + size > len(self._block):
            self._block, start = torch.frombuffer(mmap.mmap(-1, max(BLOCK, size)), dtype=torch.uint8), 0
        self._used = start + size
        return self._block[start : self._used].view(value.dtype).view(value.shape).copy_(value)
