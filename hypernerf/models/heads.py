"""How a feature vector becomes changes of named matrices: one class a parametrisation, all with one signature.

Each head maps features [scene, width] to {name: change factor [scene, out, in]}; `combine` says how the factor meets the
shared base. Factors are in units of the base's own standard deviation and start small, near `initial_change`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, int]]


def small_linear(inputs: int, outputs: int, deviation: float) -> nn.Linear:
    """A linear layer without offset at first, whose outputs have about this deviation for inputs of deviation 1."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=deviation / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)
    return layer


class FullHead(nn.Module):
    """Every entry by a linear layer of its own: W = W0 + dW. Most expressive, most parameters."""

    multiplies = False

    def __init__(self, width: int, shapes: Shapes, initial_change: float, **_: int) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        self.write = nn.ModuleDict({n: small_linear(width, o * i, initial_change) for n, (o, i) in self.shapes.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {name: self.write[name](features).unflatten(-1, shape) for name, shape in self.shapes.items()}


class LowRankHead(nn.Module):
    """W = W0 + U V^T (as LoRA, Hu et al. 2021, but with both factors written from the features)."""

    multiplies = False

    def __init__(self, width: int, shapes: Shapes, initial_change: float, rank: int, **_: int) -> None:
        super().__init__()
        self.shapes, self.rank = dict(shapes), rank
        # entries of U V^T / sqrt(rank) deviate by the product of the factors' deviations
        start = math.sqrt(initial_change)
        self.write = nn.ModuleDict({n: small_linear(width, (o + i) * rank, start) for n, (o, i) in self.shapes.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        result = {}
        for name, (outputs, inputs) in self.shapes.items():
            factors = self.write[name](features).unflatten(-1, (outputs + inputs, self.rank))
            left, right = factors.split([outputs, inputs], dim=1)
            result[name] = left @ right.transpose(1, 2) / math.sqrt(self.rank)
        return result


class ModulatedHead(LowRankHead):
    """W = W0 * (1 + U V^T), entry by entry: the base's pattern of large and small weights is kept (Skorokhodov et al. 2021)."""

    multiplies = True


class _ChunkedHead(nn.Module):
    """Writes all matrices, laid end to end, in chunks of equal size."""

    multiplies = False

    def __init__(self, shapes: Shapes, chunk: int) -> None:
        super().__init__()
        self.shapes, self.chunk = dict(shapes), chunk
        self.chunks = math.ceil(sum(o * i for o, i in self.shapes.values()) / chunk)

    def cut(self, chunks: Tensor) -> dict[str, Tensor]:
        """[scene, chunks, chunk] to named matrices."""
        flat, result, start = chunks.flatten(1), {}, 0
        for name, (outputs, inputs) in self.shapes.items():
            result[name] = flat[:, start : start + outputs * inputs].unflatten(-1, (outputs, inputs))
            start += outputs * inputs
        return result


class LayerEmbeddingHead(_ChunkedHead):
    """One shared generator writes every chunk from the features and a learned embedding of the chunk (Ha et al. 2016)."""

    def __init__(self, width: int, shapes: Shapes, initial_change: float, chunk: int, embedding: int, **_: int) -> None:
        super().__init__(shapes, chunk)
        self.embeddings = nn.Parameter(torch.randn(self.chunks, embedding))
        self.from_scene = nn.Linear(width, width)
        self.from_chunk = nn.Linear(embedding, width, bias=False)
        self.write = small_linear(width, chunk, initial_change)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        # the first layer of a network over the pair (features, embedding), its two halves added
        hidden = torch.relu(self.from_scene(features)[:, None] + self.from_chunk(self.embeddings))
        return self.cut(self.write(hidden))


class TokenHead(_ChunkedHead):
    """Learned weight tokens, told of the scene, attend to each other; each writes a chunk (Chen & Wang 2022)."""

    def __init__(
        self, width: int, shapes: Shapes, initial_change: float, chunk: int, embedding: int, layers: int, **_: int
    ) -> None:
        super().__init__(shapes, chunk)
        self.embeddings = nn.Parameter(torch.randn(self.chunks, embedding) * 0.1)
        self.scene = nn.Linear(width, embedding)
        layer = nn.TransformerEncoderLayer(
            embedding, 4, 2 * embedding, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.attend = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(embedding), enable_nested_tensor=False)
        self.write = small_linear(embedding, chunk, initial_change)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return self.cut(self.write(self.attend(self.scene(features)[:, None] + self.embeddings)))


class GridHead(nn.Module):
    """Changes of a tensor [..., channel, row, column] that is an image: nearest-neighbor doubling and convolutions.

    Whatever head writes the matrices, neighbors in a grid belong together, and a convolution knows it. If a feature volume
    [feature, z, y, x] is given too, the tensor must be three planes (xy, xz, yz; rows z or y, columns x or y): each is then
    also told what the volume holds along the axis it lacks, at the volume's own resolution.
    """

    def __init__(
        self, width: int, shape: tuple[int, ...], initial_change: float, volume: tuple[int, int] | None = None, channels: int = 32
    ) -> None:
        super().__init__()
        if volume is not None and shape[:-3] != (3,):
            raise ValueError(f"a volume conditions three planes, not a tensor of shape {shape}")
        self.shape, self.images, self.volume = shape, math.prod(shape[:-3]), volume
        self.start = nn.Linear(width, self.images * 2 * channels * 16)
        layers: list[nn.Module] = []
        inputs, size = 2 * channels, 4
        end = max(shape[-2:]) if volume is None else volume[1]
        while size < end:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs, size = channels, 2 * size
        self.layers = nn.Sequential(*layers)
        if volume is not None:
            inside = volume[0] * volume[1]
            self.collapse = nn.ParameterList(torch.randn(inputs, inside) * math.sqrt(2 / inside) for _ in range(3))
            self.refine = nn.Conv2d(inputs, channels, 3, padding=1)
            inputs = channels
        self.write = nn.Conv2d(inputs, shape[-3], 3, padding=1)
        nn.init.normal_(self.write.weight, std=initial_change / math.sqrt(9 * inputs))
        self.write.bias.data.zero_()  # type: ignore[union-attr]

    def forward(self, features: Tensor, volume: Tensor | None = None) -> Tensor:
        images = torch.relu(self.start(features)).reshape(len(features) * self.images, -1, 4, 4)
        images = self.layers(images)
        if self.volume is not None:
            if volume is None:
                raise ValueError("this head was made for a feature volume: pass one")
            images = nn.functional.interpolate(images, (self.volume[1],) * 2, mode="nearest")
            images = torch.relu(images + self._seen(volume))
            images = torch.relu(self.refine(images))
        if images.shape[-2:] != self.shape[-2:]:
            images = nn.functional.interpolate(images, self.shape[-2:], mode="bilinear")
        return self.write(images).reshape(len(features), *self.shape)

    def _seen(self, volume: Tensor) -> Tensor:
        """[scene, feature, z, y, x] to images [scene * 3, channel, row, column]."""
        size = volume.shape[-1]
        along_z, along_y, along_x = (volume.movedim(axis, 2).flatten(1, 2).flatten(2) for axis in (2, 3, 4))
        # 1x1 convolutions, as matrix products: faster
        planes = [w @ part for w, part in zip(self.collapse, (along_z, along_y, along_x), strict=True)]
        return torch.stack(planes, dim=1).flatten(0, 1).unflatten(-1, (size, size))


class VolumeHead(nn.Module):
    """A volume [1, channel, z, y, x], from the latent's features and a lifted feature volume [feature, z, y, x].

    Each texel is written by a small network that sees the lifted features around it and a coarse grid of the latent's,
    beside a linear map of the features right there.
    """

    COARSE = 4  # cells along a side of the latent's own grid

    def __init__(
        self, width: int, shape: tuple[int, ...], initial_change: float, volume: tuple[int, int], channels: int = 16
    ) -> None:
        super().__init__()
        self.shape = shape
        self.start = nn.Linear(width, channels * self.COARSE**3)
        self.around = nn.Conv3d(volume[0], channels, 3, padding=1)
        self.write = small_linear(channels, shape[1], initial_change)
        self.here = nn.Parameter(torch.randn(shape[1], volume[0]) * initial_change / math.sqrt(volume[0]))

    def forward(self, features: Tensor, volume: Tensor) -> Tensor:
        coarse = self.start(features).unflatten(-1, (-1, *(self.COARSE,) * 3))
        hidden = self.around(volume) + nn.functional.interpolate(coarse, volume.shape[-3:], mode="trilinear")
        hidden = torch.relu(hidden).flatten(2)
        written = self.write.weight @ hidden + self.write.bias[:, None] + self.here @ volume.flatten(2)
        written = written.unflatten(-1, volume.shape[-3:])
        if written.shape[-3:] != self.shape[-3:]:
            written = nn.functional.interpolate(written, self.shape[-3:], mode="trilinear")
        return written[:, None]


HEADS = {
    "full": FullHead,
    "low_rank": LowRankHead,
    "modulated": ModulatedHead,
    "layer_embedding": LayerEmbeddingHead,
    "token": TokenHead,
}
