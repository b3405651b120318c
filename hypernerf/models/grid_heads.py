"""How images and volumes among the weights are written: neighbors in a grid belong together, and a convolution knows it.

Each head maps features [scene, width], and what was lifted into the scene, to changes [scene, *shape] of the base. Their
deviation at step 0 is `initial_change`. It does so in two strides, so that others may read what lies between: `hidden` gives
maps [scene * images, inside, *grid], and `written` the change.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .convolution import Convolution2d, Convolution3d
from .heads import small_linear
from .lift import Lifted, LiftedShape, project_channels
from .seen import column_readers


def _upwards(inputs: int, channels: int, size: int) -> nn.Sequential:
    """From 4x4 to the first power of two not below `size`: nearest-neighbor doubling and convolutions."""
    layers: list[nn.Module] = []
    now = 4
    while now < size:
        layers += [nn.Upsample(scale_factor=2), Convolution2d(inputs, channels, 3, padding=1), nn.ReLU()]
        inputs, now = channels, 2 * now
    return nn.Sequential(*layers)


def _small_conv(inputs: int, outputs: int, deviation: float) -> Convolution2d:
    """As `small_linear`, for a 3x3 convolution."""
    layer = Convolution2d(inputs, outputs, 3, padding=1)
    nn.init.normal_(layer.weight, std=deviation / math.sqrt(9 * inputs))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class ImageHead(nn.Module):
    """A tensor [..., channel, row, column], from the features alone."""

    def __init__(self, width: int, shape: tuple[int, ...], initial_change: float, channels: int = 32) -> None:
        super().__init__()
        self.shape, self.images = shape, math.prod(shape[:-3])
        size = max(shape[-2:])
        self.start = nn.Linear(width, self.images * 2 * channels * 16)
        self.layers = _upwards(2 * channels, channels, size)
        self.inside = channels if size > 4 else 2 * channels
        self.write = _small_conv(self.inside, shape[-3], initial_change)

    def forward(self, features: Tensor, lifted: Lifted | None = None) -> Tensor:
        return self.written(self.hidden(features, lifted), lifted)

    def hidden(self, features: Tensor, lifted: Lifted | None) -> Tensor:
        images = torch.relu(self.start(features)).reshape(len(features) * self.images, -1, 4, 4)
        images = self.layers(images)
        if images.shape[-2:] != self.shape[-2:]:
            images = nn.functional.interpolate(images, self.shape[-2:], mode="bilinear")
        return images

    def written(self, hidden: Tensor, lifted: Lifted | None) -> Tensor:
        return self.write(hidden).reshape(-1, *self.shape)


class PlanesHead(nn.Module):
    """Three planes [3, channel, row, column] (xy, xz, yz; rows z or y, columns x or y).

    Each plane is told what the lifted volumes hold along the axis it lacks, at each volume's own resolution.
    """

    def __init__(
        self, width: int, shape: tuple[int, ...], initial_change: float, lifted: LiftedShape, channels: int = 32
    ) -> None:
        super().__init__()
        if shape[:-3] != (3,):
            raise ValueError(f"lifted volumes condition three planes, not a tensor of shape {shape}")
        self.shape, self.size, self.fine = shape, lifted.size, lifted.fine
        self.images, self.inside = 3, channels // 2
        self.start = nn.Linear(width, 3 * 2 * channels * 16)
        self.layers = _upwards(2 * channels, channels, lifted.size)
        coarse = channels if lifted.size > 4 else 2 * channels
        self.learned = _Collapse(lifted.features * lifted.size, coarse)
        self.refine = Convolution2d(coarse, channels // 2, 3, padding=1)
        self.seen = nn.ModuleList(column_readers(lifted.fine, channels // 2, lifted.mirror))
        self.sharpen = Convolution2d(channels // 2, channels // 2, 3, padding=1)
        self.write = _small_conv(channels // 2, shape[-3], initial_change)

    def forward(self, features: Tensor, lifted: Lifted) -> Tensor:
        return self.written(self.hidden(features, lifted), lifted)

    def hidden(self, features: Tensor, lifted: Lifted) -> Tensor:
        images = self.layers(torch.relu(self.start(features)).reshape(len(features) * 3, -1, 4, 4))
        images = nn.functional.interpolate(images, (self.size, self.size), mode="nearest")
        images = torch.relu(images + self.learned(lifted.learned))
        images = nn.functional.interpolate(self.refine(images), (self.fine, self.fine), mode="nearest")
        seen = torch.stack([reader(lifted.seen) for reader in self.seen], dim=1)
        images = torch.relu(images + seen.flatten(0, 1))
        images = torch.relu(self.sharpen(images))
        if images.shape[-2:] != self.shape[-2:]:
            images = nn.functional.interpolate(images, self.shape[-2:], mode="bilinear")
        return images

    def written(self, hidden: Tensor, lifted: Lifted) -> Tensor:
        return self.write(hidden).reshape(-1, *self.shape)


class _Collapse(nn.Module):
    """[scene, feature, z, y, x] to images [scene * 3, channel, row, column]: all along an axis becomes one column of pixels."""

    def __init__(self, inside: int, channels: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(channels, inside) * math.sqrt(2 / inside) for _ in range(3))

    def forward(self, volume: Tensor) -> Tensor:
        size = volume.shape[-1]
        along_z, along_y, along_x = (volume.movedim(axis, 2).flatten(1, 2).flatten(2) for axis in (2, 3, 4))
        planes = [project_channels(w, part) for w, part in zip(self.weights, (along_z, along_y, along_x), strict=True)]
        return torch.stack(planes, dim=1).flatten(0, 1).unflatten(-1, (size, size))


class VolumeHead(nn.Module):
    """A volume [1, channel, z, y, x], from the latent's features and the lifted features.

    Each texel is written by a small network that sees the lifted features around it and a coarse grid of the latent's,
    beside a linear map of the features right there.
    """

    COARSE = 4  # cells along a side of the latent's own grid

    def __init__(
        self, width: int, shape: tuple[int, ...], initial_change: float, lifted: LiftedShape, channels: int = 16
    ) -> None:
        super().__init__()
        self.shape, self.images, self.inside = shape, 1, channels
        self.start = nn.Linear(width, channels * self.COARSE**3)
        self.mixed = lifted.mixed  # what is seen is mixed into the learned features already
        self.around = Convolution3d(self.mixed, channels, 3, padding=1)
        self.write = small_linear(channels, shape[1], initial_change)
        self.here = nn.Parameter(torch.randn(shape[1], lifted.features) * initial_change / math.sqrt(lifted.features))

    def forward(self, features: Tensor, lifted: Lifted) -> Tensor:
        return self.written(self.hidden(features, lifted), lifted)

    def hidden(self, features: Tensor, lifted: Lifted) -> Tensor:
        volume = lifted.learned
        coarse = self.start(features).unflatten(-1, (-1, *(self.COARSE,) * 3))
        coarse = coarse.contiguous(memory_format=torch.channels_last_3d)  # a CPU enlarges it so in an eighth of the time
        hidden = self.around(volume[:, : self.mixed]) + nn.functional.interpolate(coarse, volume.shape[-3:], mode="trilinear")
        return torch.relu(hidden)

    def written(self, hidden: Tensor, lifted: Lifted) -> Tensor:
        volume = lifted.learned
        written = project_channels(self.write.weight, hidden.flatten(2)) + self.write.bias[:, None]
        written = written + project_channels(self.here, volume.flatten(2))
        written = written.unflatten(-1, volume.shape[-3:])
        if written.shape[-3:] != self.shape[-3:]:
            written = nn.functional.interpolate(written, self.shape[-3:], mode="trilinear")
        return written[:, None]
