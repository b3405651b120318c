"""Image features brought into the scene: each point of a coarse grid asks every view what is seen in its direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..geometry import cell_points, project
from ..types import Cameras, InputError


@dataclass(frozen=True)
class LiftConfig:
    resolution: int = 0  # cells along a side of the feature volume over [-1, 1]^3; 0: none, the latent tells all
    channels: int = 32

    def __post_init__(self) -> None:
        if self.resolution < 0 or self.channels < 1:
            raise InputError("encoder.lift.resolution must be >= 0 and encoder.lift.channels >= 1")


class Lift(nn.Module):
    """Features of all stages of the image encoder, merged at the finest, sampled where grid points project, mean over views.

    A feature pyramid (Lin et al. 2017) and an unprojection (Kar et al. 2017). Beside what is learned stand the colors seen:
    their mean and deviation over views, and the share of views that see the point; agreement of colors tells of surfaces
    from the first step on. Means and deviations make it a function of the set.

    Args:
        config: size of the volume.
        stages: channels of the image encoder's stages, finest first.
        stride: of the finest stage.
    """

    SEEN = 7  # channels of what is seen: mean color, its deviation, share of views

    def __init__(self, config: LiftConfig, stages: Sequence[int], stride: int) -> None:
        super().__init__()
        self.config, self.stride = config, stride
        self.merge = nn.ModuleList(nn.Conv2d(channels, config.channels, 1) for channels in stages)
        self.mix = nn.Linear(config.channels + self.SEEN, config.channels)
        self.points: Tensor
        self.register_buffer("points", cell_points(config.resolution), persistent=False)

    @property
    def features(self) -> int:
        """Channels of the volume."""
        return self.config.channels + self.SEEN

    def forward(
        self,
        images: Float[Tensor, "scene view height width 3"],
        stages: Sequence[Float[Tensor, "image channel rows columns"]],
        cameras: Cameras,
    ) -> Float[Tensor, "scene feature size size size"]:
        """`stages` as `ImageEncoder.stages` gives them for `images`; cameras have batch shape [scene, view]."""
        shape = cameras.intrinsics.shape[:2]
        where = project(self.points, cameras).flatten(0, 1)
        merged = self._merged(stages)
        # feature i of the finest stage is centered on pixel stride * i, whose own center is at stride * i + 0.5
        share = 0.5 - 0.5 / self.stride
        shift = torch.tensor([share / merged.shape[-1], share / merged.shape[-2]], dtype=where.dtype, device=where.device)
        learned = _sample(merged, where + shift).unflatten(0, shape).mean(1)
        volume = torch.cat([learned, self._seen(images, where, shape)], dim=1)
        mixed = torch.relu(self.mix.weight @ volume + self.mix.bias[:, None])  # a 1x1x1 convolution, three times as fast
        size = self.config.resolution
        return torch.cat([mixed, volume[:, -self.SEEN :]], dim=1).unflatten(-1, (size, size, size))

    def _merged(self, stages: Sequence[Tensor]) -> Tensor:
        merged = self.merge[-1](stages[-1])
        for conv, stage in zip(reversed(self.merge[:-1]), reversed(stages[:-1]), strict=True):
            merged = conv(stage) + nn.functional.interpolate(merged, stage.shape[-2:], mode="nearest")
        return torch.relu(merged)

    def _seen(self, images: Tensor, where: Tensor, shape: torch.Size) -> Tensor:
        """[scene, SEEN, point]: colors in -1..1, and 0 outside of every image."""
        colors = _sample(images.flatten(0, 1).permute(0, 3, 1, 2) * 2 - 1, where).unflatten(0, shape)
        mean = colors.mean(1)
        deviation = ((colors - mean[:, None]).square().mean(1) + 1e-6).sqrt()
        inside = ((where > 0) & (where < 1)).all(-1).to(colors.dtype).unflatten(0, shape).mean(1)
        return torch.cat([mean, deviation, inside[:, None]], dim=1)


def _sample(images: Tensor, where: Tensor) -> Tensor:
    """Bilinear values [image, channel, point] at shares of width and height [image, point, 2]; 0 outside."""
    return nn.functional.grid_sample(images, (where * 2 - 1)[:, None], padding_mode="zeros", align_corners=False)[:, :, 0]
