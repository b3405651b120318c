"""Image features brought into the scene: each point of a coarse grid asks every view what is seen in its direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..geometry import cell_points
from ..types import Cameras, InputError


@dataclass(frozen=True)
class LiftConfig:
    resolution: int = 0  # cells along a side of the feature volume over [-1, 1]^3; 0: none, the latent tells all
    channels: int = 32

    def __post_init__(self) -> None:
        if self.resolution < 0 or self.channels < 1:
            raise InputError("encoder.lift.resolution must be >= 0 and encoder.lift.channels >= 1")


def project(points: Float[Tensor, "point 3"], cameras: Cameras) -> Float[Tensor, "*batch point 2"]:
    """Where points appear: (x, y) as a share of image width and height, (0, 0) the upper left corner, (1, 1) the lower right.

    Points behind a camera land far outside its image.
    """
    pose = cameras.camera_to_world
    local = (points - pose[..., None, :3, 3]) @ pose[..., :3, :3]
    depth = local[..., 2:]
    fx, fy, cx, cy = cameras.intrinsics[..., None, :].unbind(-1)
    pixels = torch.stack([fx, fy], dim=-1) * local[..., :2] / depth.clamp_min(1e-3) + torch.stack([cx, cy], dim=-1)
    shares = pixels / torch.tensor([cameras.width, cameras.height], dtype=pixels.dtype, device=pixels.device)
    return torch.where(depth > 1e-3, shares, torch.full_like(shares, 9.0))


class Lift(nn.Module):
    """Features of all stages of the image encoder, merged at the finest, sampled where grid points project, mean over views.

    A feature pyramid (Lin et al. 2017) and an unprojection (Kar et al. 2017). The mean makes it a function of the set.

    Args:
        config: size of the volume.
        stages: channels of the image encoder's stages, finest first.
    """

    def __init__(self, config: LiftConfig, stages: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        self.merge = nn.ModuleList(nn.Conv2d(channels, config.channels, 1) for channels in stages)
        self.mix = nn.Linear(config.channels + 1, config.channels)
        self.register_buffer("points", cell_points(config.resolution), persistent=False)

    def forward(
        self, stages: Sequence[Float[Tensor, "image channel rows columns"]], cameras: Cameras
    ) -> Float[Tensor, "scene feature size size size"]:
        """`stages` as `ImageEncoder.stages` gives them; cameras have batch shape [scene, view]."""
        scenes, views = cameras.intrinsics.shape[:2]
        merged = self.merge[-1](stages[-1])
        for conv, stage in zip(reversed(self.merge[:-1]), reversed(stages[:-1]), strict=True):
            merged = conv(stage) + nn.functional.interpolate(merged, stage.shape[-2:], mode="nearest")
        merged = torch.relu(merged)
        where = project(self.points, cameras).flatten(0, 1)
        # a 3x3 stride-2 convolution's output i looks at input 2 i, so feature i of the finest stage at pixel center 2 i + 0.5
        rows, columns = merged.shape[-2:]
        shift = torch.tensor([0.25 / columns, 0.25 / rows], dtype=where.dtype, device=where.device)
        grid = (where + shift) * 2 - 1
        sampled = nn.functional.grid_sample(merged, grid[:, None], padding_mode="zeros", align_corners=False)[:, :, 0]
        inside = ((grid.abs() < 1).all(-1)).to(sampled.dtype)[:, None]
        volume = torch.cat([sampled, inside], dim=1).unflatten(0, (scenes, views)).mean(1)
        size = self.config.resolution
        mixed = self.mix.weight @ volume + self.mix.bias[:, None]  # a 1x1x1 convolution, three times as fast as one
        return torch.relu(mixed).unflatten(-1, (size, size, size))
