"""Where there may be something: coarse grids over [-1, 1]^3 that tell samplers what to skip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..fields import FieldWeights, radiance_field
from ..geometry import cell_points
from ..ops.march import cells_at

# Density (1/unit) below which a cell counts as empty. A trained field is far below it in free space and far above it inside
# an object; a ray through a whole sphere of it would be a third opaque, which no trained field shows.
EMPTY_DENSITY = 0.2


@dataclass(frozen=True)
class OccupancyGrid:
    """`cells[scene, z, y, x]` is True where something may be; one grid for all scenes has scene = 1."""

    cells: Bool[Tensor, "scene size size size"]

    def to(self, device: torch.device | str) -> OccupancyGrid:
        return OccupancyGrid(self.cells.to(device))

    def lookup(self, points: Float[Tensor, "scene *point 3"]) -> Bool[Tensor, " scene *point"]:
        """The cells' values at points; outside [-1, 1]^3 the nearest cell answers."""
        half = self.cells.shape[-1] / 2
        return cells_at(self.cells, *((points[..., axis] + 1) * half for axis in range(3)))


def dilated(occupied: Bool[Tensor, "scene size size size"]) -> OccupancyGrid:
    """A grid with every occupied cell's 26 neighbors: a cell is judged by few points, its neighbors may hold the rest."""
    size = occupied.shape[-1]
    for axis in (1, 2, 3):
        grown = occupied.clone()
        grown.narrow(axis, 1, size - 1).logical_or_(occupied.narrow(axis, 0, size - 1))
        grown.narrow(axis, 0, size - 1).logical_or_(occupied.narrow(axis, 1, size - 1))
        occupied = grown
    return OccupancyGrid(occupied)


@torch.no_grad()
def grid_density(weights: FieldWeights, points: Float[Tensor, "point 3"], chunk: int = 1 << 14) -> Float[Tensor, "scene point"]:
    """Density of every scene at the same points; 0 outside the unit sphere, where nothing is ever trained or rendered."""
    device, scenes = weights.device, len(weights)
    result = torch.zeros(scenes, len(points), device=device)
    inside = torch.nonzero((points * points).sum(-1) <= 1.0)[:, 0]
    for part in inside.split(max(1, chunk // scenes)):
        where = points[part].to(device).expand(scenes, -1, -1)
        result[:, part.to(device)] = radiance_field(where, torch.zeros_like(where), weights).density
    return result


def scene_occupancy(weights: FieldWeights, size: int = 64) -> OccupancyGrid:
    """Each scene's own grid, for rendering many pixels of it: cells whose center's density is not empty, dilated."""
    density = grid_density(weights, cell_points(size))
    return dilated((density > EMPTY_DENSITY).reshape(-1, size, size, size))


class UnionOccupancy:
    """One grid for all scenes in training: what is empty in every scene is skipped in every scene.

    Each cell remembers the largest density seen there lately: value <- max(decay * value, max over scenes). It starts
    occupied, so that nothing is skipped before it has been looked at for a while. `values` is the only state.
    """

    def __init__(self, size: int = 32, decay: float = 0.95) -> None:
        self.size, self.decay = size, decay
        self.values = torch.ones(size**3)

    def points(self, generator: torch.Generator) -> Float[Tensor, "cell 3"]:
        """One random point a cell, to look at next."""
        return cell_points(self.size, torch.rand(self.size**3, 3, generator=generator))

    def update(self, seen: Float[Tensor, " cell"]) -> None:
        """Takes in the largest density of all scenes seen at each of `points`."""
        torch.maximum(self.values.mul_(self.decay), seen.cpu(), out=self.values)  # where it lies: see `Trainer.train_step`

    def grid(self) -> OccupancyGrid:
        size = self.size
        return dilated((self.values > EMPTY_DENSITY).reshape(1, size, size, size))
