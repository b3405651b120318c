"""In which directions a scene's weights are uncertain: weights = mean + sum_k z_k factor_k, with z_k ~ N(0, 1).

A Gaussian over all weights whose covariance has rank K (as in low-rank variational posteriors: Ong, Nott & Smith 2018), written
by the hypernetwork of Krueger et al. 2017 beside the mean. One z_k moves all weights together: a whole backrest can be there or
not. Independent noise on each weight cannot say so, and averages out along a ray.

Factors are a small constant times what a network gives: an optimizer that does not know their size takes steps that are too
long at once (seen: deviations of three times the mean).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .heads import small_linear
from .lift import project_channels


class MatrixSpread(nn.Module):
    """Factors of a matrix, each of rank one: left_k right_k^T / sqrt(K)."""

    def __init__(self, width: int, shape: tuple[int, int], factors: int, deviation: float) -> None:
        super().__init__()
        self.factors, self.scale = factors, deviation / math.sqrt(factors)
        self.left = small_linear(width, factors * shape[0], 1.0)
        self.right = small_linear(width, factors * shape[1], 1.0)

    def forward(self, features: Tensor) -> Tensor:
        left = self.left(features).unflatten(-1, (self.factors, -1, 1))
        return self.scale * left * self.right(features).unflatten(-1, (self.factors, 1, -1))


class GridSpread(nn.Module):
    """Factors of planes or of a volume: place by place, from the maps that the mean is written from and from the features."""

    def __init__(self, width: int, head: nn.Module, factors: int, channels: int = 32, deviation: float = 0.05) -> None:
        super().__init__()
        self.shape, self.images, self.factors = tuple(head.shape), int(head.images), factors  # type: ignore[arg-type]
        self.here = nn.Linear(int(head.inside), channels)  # type: ignore[arg-type]
        self.scene = nn.Linear(width, channels)
        written = self.shape[-4 if len(self.shape) == 5 else -3]
        self.write = small_linear(channels, factors * written, 1.0)
        self.scale = deviation / math.sqrt(factors)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        scene = self.scene(features).repeat_interleave(self.images, dim=0)[..., None]
        hidden = torch.relu(project_channels(self.here.weight, maps.flatten(2)) + self.here.bias[:, None] + scene)
        written = self.scale * (project_channels(self.write.weight, hidden) + self.write.bias[:, None])
        written = written.unflatten(-1, maps.shape[2:])
        grid = self.shape[-(maps.ndim - 2) :]
        if written.shape[2:] != grid:
            written = nn.functional.interpolate(written, grid, mode="trilinear" if maps.ndim == 5 else "bilinear")
        # [scene * image, factor * channel, *grid] to [scene, factor, image, channel, *grid]
        by_image = written.unflatten(0, (len(features), self.images)).unflatten(2, (self.factors, -1))
        return by_image.transpose(1, 2).reshape(len(features), self.factors, *self.shape)
