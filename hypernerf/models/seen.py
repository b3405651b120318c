"""The colors that all views see at points of a fine grid, and how little it takes to bring them into volumes and planes.

Nothing here is learned before it is read: the colors are data. So they are kept as a list of places in the scene sphere, which
every reader gathers into groups of its own; a product does the rest. Across a mirror the same list is read with weights of its
own and the result is flipped: the mirrored colors are never written down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..geometry import cell_points
from ..ops import COLORS, gathered_product


@lru_cache
def ball_cells(size: int) -> Int[Tensor, " place"]:
    """Which of size^3 cells, x fastest, are inside of the scene sphere, where alone anything is ever asked for.

    Kept for the next who asks: not to be changed.
    """
    return torch.nonzero(cell_points(size).norm(dim=-1) <= 1.05)[:, 0]


class SeenReader(nn.Module):
    """A linear map of the colors in each group of cells; groups side by side make up the result's grid.

    Args:
        size: cells along a side of the fine grid.
        groups: for each cell, x fastest, the number of the group it belongs to.
        within: and its place within the group.
        shape: of the grid of groups.
        channels: of the result.
        mirror: dimension of the grid, counted from the end, along which a second map's result is flipped; 0: a mirror that
            changes no group; None: no mirror.
    """

    backend = "auto"  # of the product: see `Generator.use_backend`

    def __init__(
        self, size: int, groups: Tensor, within: Tensor, shape: Sequence[int], channels: int, mirror: int | None
    ) -> None:
        super().__init__()
        self.shape, self.channels, self.mirror = tuple(shape), channels, mirror
        self.inside = size**3 // math.prod(shape) * COLORS
        sides = 1 if mirror is None else 2
        self.weight = nn.Parameter(torch.randn(sides * channels, self.inside) * math.sqrt(2 / (sides * self.inside)))
        ball = ball_cells(size)
        source = torch.full((size**3,), len(ball), dtype=torch.int32)  # a place after the last, which holds 0
        source[(groups * (self.inside // COLORS) + within)[ball]] = torch.arange(len(ball), dtype=torch.int32)
        self.source: Tensor
        self.register_buffer("source", source.view(-1, self.inside // COLORS), persistent=False)

    def forward(self, seen: Float[Tensor, "scene place color"]) -> Float[Tensor, "scene channel *shape"]:
        return self._mirrored(gathered_product(seen, self.source, self.weight, self.backend))

    def with_means(
        self, seen: Float[Tensor, "scene place color"]
    ) -> tuple[Float[Tensor, "scene channel *shape"], Float[Tensor, "scene color *shape"]]:
        """The result, and the mean colors of each group, 0 outside of the scene sphere."""
        places = self.inside // COLORS
        mean = torch.eye(COLORS, device=seen.device).repeat(1, places) / places
        both = gathered_product(seen, self.source, torch.cat([self.weight, mean]), self.backend)
        return self._mirrored(both[:, :-COLORS]), both[:, -COLORS:].detach().unflatten(-1, self.shape)

    def _mirrored(self, read: Float[Tensor, "scene channel group"]) -> Float[Tensor, "scene channel *shape"]:
        read = read.unflatten(-1, self.shape)
        if self.mirror is None:
            return read
        here, mirrored = read.split(self.channels, dim=1)
        return here + (mirrored.flip(self.mirror) if self.mirror else mirrored)


def _coordinates(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """z, y, x of all cells, x fastest."""
    cells = torch.arange(size**3)
    return cells // size**2, cells // size % size, cells % size


def block_reader(size: int, detail: int, channels: int, mirror: int | None) -> SeenReader:
    """Blocks of detail^3 cells become the cells of a volume [channel, z, y, x]."""
    z, y, x = _coordinates(size)
    coarse = size // detail
    groups = (z // detail * coarse + y // detail) * coarse + x // detail
    within = (z % detail * detail + y % detail) * detail + x % detail
    return SeenReader(size, groups, within, (coarse,) * 3, channels, mirror)


def column_readers(size: int, channels: int, mirror: int | None) -> list[SeenReader]:
    """All along z, y or x becomes a pixel of the xy, xz or yz plane (rows z or y, columns x or y)."""
    z, y, x = _coordinates(size)
    readers = []
    for depth, row, column, lost in ((z, y, x, -3), (y, z, x, -2), (x, z, y, -1)):
        kept = [axis for axis in (-3, -2, -1) if axis != lost]
        flipped = None if mirror is None else 0 if mirror == lost else kept.index(mirror) - 2
        readers.append(SeenReader(size, row * size + column, depth, (size, size), channels, flipped))
    return readers
