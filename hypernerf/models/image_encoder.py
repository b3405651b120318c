"""Each view on its own: an image and its camera rays to a small grid of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..geometry import camera_rays
from ..types import Cameras, InputError, RayBundle, require_within


@dataclass(frozen=True)
class ImageEncoderConfig:
    image_size: int = 64  # images are resized to this square before they are read
    channels: tuple[int, ...] = (32, 64, 128, 256)  # one stride-2 convolution each
    stem: int = 2  # stride of the first one: 4 reads patches, for a quarter of the cost
    rays: bool = True  # False: images are read without their cameras, for users who do not have them

    def __post_init__(self) -> None:
        if not 1 <= len(self.channels) <= 8 or any(c % 8 or not 8 <= c <= 4096 for c in self.channels):
            raise InputError(
                f"encoder.image.channels must be 1 to 8 multiples of 8 (for group norm) up to 4096, not {self.channels}"
            )
        if self.stem not in (2, 4):
            raise InputError(f"encoder.image.stem must be 2 or 4, not {self.stem}")
        require_within("encoder.image", self, {"image_size": (1, 1024)})
        if self.image_size % self.stride:
            raise InputError(
                f"encoder.image.image_size {self.image_size} must divide by {self.stride}, the product of all strides"
            )

    @property
    def stride(self) -> int:
        """Of all convolutions together."""
        return self.stem * 2 ** (len(self.channels) - 1)

    @property
    def token_count(self) -> int:
        return (self.image_size // self.stride) ** 2


class ImageEncoder(nn.Module):
    """Strided convolutions over color (3) and, with `config.rays`, Pluecker ray coordinates (6: direction, moment o x d)."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.config = config
        stages, inputs, stride = [], 9 if config.rays else 3, config.stem
        for outputs in config.channels:
            # kernel stride + 1, so that output i is centered on input stride * i
            conv = nn.Conv2d(inputs, outputs, stride + 1, stride=stride, padding=stride // 2)
            stages.append(nn.Sequential(conv, nn.GroupNorm(8, outputs), nn.ReLU()))
            inputs, stride = outputs, 2
        self.layers = nn.ModuleList(stages)

    def stages(
        self, images: Float[Tensor, "scene view height width 3"], cameras: Cameras
    ) -> list[Float[Tensor, "image channel rows columns"]]:
        """Feature maps after each convolution, finest first; views of all scenes are one dimension, scene by scene."""
        planes = images.permute(0, 1, 4, 2, 3) * 2 - 1
        if self.config.rays:
            planes = torch.cat([planes, _pluecker(camera_rays(cameras))], dim=2)
        planes = planes.flatten(0, 1).contiguous()  # else each convolution rearranges its weights anew
        size = self.config.image_size
        if planes.shape[-2:] != (size, size):
            planes = nn.functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
        result = []
        for layer in self.layers:
            planes = layer(planes)
            result.append(planes)
        return result

    def tokens(
        self, stages: list[Float[Tensor, "image channel rows columns"]], views: int
    ) -> Float[Tensor, "scene view token channel"]:
        """The coarsest feature map's places as tokens."""
        return stages[-1].flatten(2).transpose(1, 2).unflatten(0, (-1, views))


def _pluecker(rays: RayBundle) -> Float[Tensor, "scene view 6 height width"]:
    """Direction d and moment o x d of each pixel's ray."""
    (ox, oy, oz), (dx, dy, dz) = rays.origins.unbind(-1), rays.directions.unbind(-1)
    return torch.stack([dx, dy, dz, oy * dz - oz * dy, oz * dx - ox * dz, ox * dy - oy * dx], dim=2)
