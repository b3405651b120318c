"""The hypernetwork: a latent in, the weights of another network out.

It knows only names, shapes and starting values, so it can write any small network. What it writes is a shared, learned
base changed by the latent. At step 0 the change is small beside the base (Chang et al. 2020 give the principle): a change
of the base's own size at step 0 was seen to collapse training to empty scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..types import InputError, require_within
from .grid_heads import ImageHead, PlanesHead, VolumeHead
from .heads import HEADS
from .lift import Lifted, LiftedShape
from .sizes import Shapes, Slices
from .spread import GridSpread, MatrixSpread

# Deviation of generated grids' values at step 0; their base is 0. Planes are read as features by the field's network; a volume
# is also added to its outputs, where it must not be seen yet.
PLANES_DEVIATION = 0.3
VOLUME_DEVIATION = 0.1


@dataclass(frozen=True)
class HypernetworkConfig:
    latent: int = 512
    width: int = 512  # of the trunk between latent and head
    layers: int = 1  # residual blocks of the trunk
    head: Literal["full", "low_rank", "modulated", "layer_embedding", "token"] = "modulated"
    rank: int = 8  # low_rank and modulated
    chunk: int = 512  # layer_embedding and token: weights written at a time
    embedding: int = 128  # layer_embedding and token: size of a chunk's embedding
    token_layers: int = 3  # token
    conditioned: bool = True  # false: static, the same network whatever the latent (Ha et al. 2016)
    learn_base: bool = True  # false: the base stays as the seed drew it, and need not be kept
    initial_change: float = 0.1  # deviation of the generated change at step 0, as a share of the base's
    time: int = 0  # octaves of the time code that moves a scene's latent; 0: scenes stand still
    factors: int = 0  # directions in which the weights are uncertain; 0: they are written for certain

    def __post_init__(self) -> None:
        limits = {
            "latent": (1, 8192), "width": (1, 8192), "layers": (0, 64), "rank": (1, 256), "chunk": (1, 1 << 16),
            "embedding": (1, 4096), "token_layers": (1, 64),
            "time": (0, 8), "factors": (0, 64),
        }  # fmt: skip
        require_within("hypernetwork", self, limits)
        if self.head == "token" and self.embedding % 4:
            raise InputError(f"hypernetwork.embedding must be a multiple of 4, the heads of attention, not {self.embedding}")
        if not self.initial_change > 0:
            raise InputError(f"hypernetwork.initial_change must be positive, not {self.initial_change}")


class Hypernetwork(nn.Module):
    """Latent [scene, latent] to {name: weights [scene, *shape]}.

    Args:
        config: head and sizes.
        base: starting values of the written network, without a scene dimension. Vectors are written as one-column matrices;
            tensors of rank three and four as images over their last two dimensions (`GridHead`), of rank five as volumes.
        smaller: shapes of smaller networks that can be asked for by these names; see `Slices`.
        lifted: of the volumes that `forward` will be given with the latent; they condition images and volumes.
    """

    def __init__(
        self,
        config: HypernetworkConfig,
        base: Mapping[str, Tensor],
        lifted: LiftedShape | None = None,
        smaller: Mapping[str, Shapes] = {},
    ) -> None:
        super().__init__()
        if lifted is not None and not config.conditioned:
            raise InputError("hypernetwork.conditioned false writes one field for all: set encoder.lift.resolution 0")
        self.base = nn.ParameterDict({n: nn.Parameter(value.clone(), config.learn_base) for n, value in base.items()})
        self.scales = {name: float(value.square().mean().sqrt().clamp_min(1e-3)) for name, value in base.items()}
        width, self.conditioned = config.width, config.conditioned
        if config.conditioned:
            self.enter = nn.Linear(config.latent, width)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
                for _ in range(config.layers)
            )
            self.norm = nn.LayerNorm(width)
        else:
            self.constant = nn.Parameter(torch.randn(width))  # in the place of features of the latent
        shapes = {n: (v.shape[0], v[0].numel()) for n, v in base.items() if v.ndim <= 2}
        options = {"rank": config.rank, "chunk": config.chunk, "embedding": config.embedding, "layers": config.token_layers}
        self.head = HEADS[config.head](width, shapes, config.initial_change, **options)
        self.grids = nn.ModuleDict()
        for name, value in base.items():
            if value.ndim == 5:
                if lifted is None:
                    raise InputError(f"the field's {name} is written from lifted features: set encoder.lift.resolution")
                self.grids[name] = VolumeHead(width, tuple(value.shape), VOLUME_DEVIATION, lifted)
            elif value.ndim > 2:
                head = ImageHead if lifted is None else partial(PlanesHead, lifted=lifted)
                self.grids[name] = head(width, tuple(value.shape), PLANES_DEVIATION)
        matrices = {name: value for name, value in base.items() if name not in self.grids}
        self.slices = Slices(width, matrices, smaller, config.learn_base)
        self.spreads = nn.ModuleDict()
        if config.factors:
            change = 0.2 * config.initial_change
            for name, shape in shapes.items():
                self.spreads[name] = MatrixSpread(width, shape, config.factors, change * self.scales[name])
            for name, grid in self.grids.items():
                self.spreads[name] = GridSpread(width, grid, config.factors)

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in self.base.items()}

    def _features(self, latent: Float[Tensor, "scene latent"]) -> Float[Tensor, "scene width"]:
        if not self.conditioned:
            return self.constant.expand(len(latent), -1)
        hidden = self.enter(latent)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.norm(hidden)

    def forward(
        self, latent: Float[Tensor, "scene latent"], lifted: Lifted | None = None, size: str | None = None
    ) -> dict[str, Tensor]:
        """`size`: one of `smaller`; None: the network that `base` is of."""
        return self.with_maps(latent, lifted, [size])[0][0]

    def with_maps(
        self, latent: Float[Tensor, "scene latent"], lifted: Lifted | None = None, sizes: Sequence[str | None] = (None,)
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """The weights of each size, which share their images and volumes, and the maps [scene * image, channel, *grid] that these
        were written from."""
        features = self._features(latent)
        matrices = [self._matrices(features, size) for size in sizes]
        maps = {name: head.hidden(features, lifted) for name, head in self.grids.items()}  # type: ignore[operator]
        shared = {
            name: self.base[name] + head.written(maps[name], lifted)  # type: ignore[operator]
            for name, head in self.grids.items()
        }
        names = list(self.base)  # in their order
        return [{name: written[name] for name in names if name in (written := own | shared)} for own in matrices], maps

    def _matrices(self, features: Float[Tensor, "scene width"], size: str | None) -> dict[str, Tensor]:
        if size is None:
            bases, scales = {name: self.base[name] for name in self.base if name not in self.grids}, self.scales
        else:
            features, bases = self.slices.features(features, size), self.slices.base(size)
            scales = {name: self.scales[name] * self.slices.gain(name, size) for name in bases}
        result = {}
        for name, factor in self.head(features).items():
            if name not in bases:
                continue
            factor = factor.reshape(-1, *self.base[name].shape)
            factor = factor if size is None else self.slices.cut(name, factor, size)
            result[name] = bases[name] * (1 + factor) if self.head.multiplies else bases[name] + scales[name] * factor
        return result

    def factors(self, latent: Float[Tensor, "scene latent"], lifted: Lifted | None = None) -> dict[str, Tensor]:
        """Directions [scene, factor, *shape] in which the weights are uncertain; {} without `config.factors`.

        They are read from what the weights are written from, without a gradient into it: they learn, and change no mean.
        """
        if not self.spreads:
            return {}
        with torch.no_grad():
            features = self._features(latent)
            maps = {name: (head.hidden(features, lifted),) for name, head in self.grids.items()}  # type: ignore[operator]
        return {name: self.spreads[name](features, *maps.get(name, ())) for name in self.base}
