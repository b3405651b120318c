"""Weights as a function of time: a network moves a scene's latent by a code of the time."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Motion(nn.Module):
    """latent + f(latent, gamma(t)) - f(latent, gamma(0)): at time 0, which the context shows, nothing is moved.

    gamma(t) = sin and cos of 2 pi t, 4 pi t, ...: motions repeat after time 1.
    """

    def __init__(self, octaves: int, latent: int) -> None:
        super().__init__()
        self.octaves = octaves
        self.by_scene, self.by_time = nn.Linear(latent, latent), nn.Linear(2 * octaves, latent, bias=False)
        self.move = nn.Linear(latent, latent, bias=False)

    def forward(self, latent: Float[Tensor, "scene latent"], times: Float[Tensor, " scene"]) -> Float[Tensor, "scene latent"]:
        scene = self.by_scene(latent)
        now, then = (torch.relu(scene + self.by_time(self._code(t))) for t in (times, torch.zeros_like(times)))
        return latent + self.move(now - then)

    def _code(self, times: Tensor) -> Tensor:
        angles = 2 * math.pi * times[:, None] * 2.0 ** torch.arange(self.octaves, device=times.device)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
