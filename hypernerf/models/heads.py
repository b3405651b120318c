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


HEADS = {
    "full": FullHead,
    "low_rank": LowRankHead,
    "modulated": ModulatedHead,
    "layer_embedding": LayerEmbeddingHead,
    "token": TokenHead,
}
