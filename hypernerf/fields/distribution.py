"""A distribution over fields: what is known of a scene, and in which directions it is uncertain.

weights = mean + sum_k z_k factor_k, z_k ~ N(0, 1). Beside a scene file, `NAME.spread.safetensors` holds the factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from ..files import write_atomically
from ..tensor_files import read_tensors
from ..types import InputError
from .scene_file import SIZE_LIMIT
from .weights import FieldWeights

SUFFIX, SPREAD_SUFFIX = ".field.safetensors", ".spread.safetensors"


@dataclass(frozen=True)
class FieldDistribution:
    """`factors[name]` has shape [scene, factor, *spec.param_shapes[name]]; none at all: the weights are certain."""

    mean: FieldWeights
    factors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        shapes = self.mean.spec.param_shapes
        if self.factors and self.factors.keys() != shapes.keys():
            raise ValueError(f"factors {sorted(self.factors)} do not fit weights {sorted(shapes)}")
        for name, value in self.factors.items():
            if (len(value), *value.shape[2:]) != (len(self.mean), *shapes[name]) or value.shape[1] != self.rank:
                raise ValueError(f"factors of {name}: {tuple(value.shape)} is not [scene, factor, {shapes[name]}]")

    @property
    def rank(self) -> int:
        return next(iter(self.factors.values())).shape[1] if self.factors else 0

    def sample(self, noise: Float[Tensor, "sample scene factor"]) -> FieldWeights:
        """Weights of sample * scene fields, sample by sample. `noise` from N(0, 1); noise 0 gives the mean."""

        def moved(name: str, mean: Tensor) -> Tensor:
            change = torch.einsum("msk,sk...->ms...", noise, self.factors[name])
            return (mean + change).flatten(0, 1)

        return FieldWeights(self.mean.spec, {name: moved(name, mean) for name, mean in self.mean.tensors.items()})


def spread_file(scene: Path) -> Path:
    """Where the factors of a scene file lie."""
    return scene.with_name(scene.name.removesuffix(SUFFIX) + SPREAD_SUFFIX)


def save_spread(scene: Path, distribution: FieldDistribution) -> None:
    """Writes the factors of one scene beside its scene file, in half precision."""
    tensors = {name: value[0].detach().to("cpu", torch.float16).contiguous() for name, value in distribution.factors.items()}
    data = save(tensors)
    write_atomically(spread_file(scene), lambda place: place.write_bytes(data))


def load_spread(scene: Path, mean: FieldWeights) -> FieldDistribution:
    """The distribution around the weights of a scene file. Raises `InputError` without factors beside it, or of another one."""
    path = spread_file(scene)
    if not path.exists():
        raise InputError(f"{path}: no factors beside the scene file: reconstruct with a run of configs/family/uncertainty.yaml")
    tensors, _ = read_tensors(path, 64 * SIZE_LIMIT)
    try:
        return FieldDistribution(mean, {name: value[None] for name, value in tensors.items()})
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: not the factors of {scene.name} ({error}): reconstruct it anew") from None
