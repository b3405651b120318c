"""Fields of several sizes from one hypernetwork, which is told of the size (Brock et al. 2018; Zhang et al. 2019).

What is written of the scene is shared: planes and volume are the same at every size, and how matrices change with the scene is
cut out of what changes the largest's, as slimmable networks (Yu et al. 2019) cut out their weights. The base of its matrices each
size has for itself. It starts as a slice of the largest's, so that all sizes begin by reading planes and volume alike; a slice of
fewer inputs is scaled so that its outputs deviate as before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..fields import FieldSpec
from ..fields.spec import WIDTHS
from ..types import InputError

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class SizesConfig:
    """Widths and depths that fields can be asked for, beside `field`'s own, which are the largest; empty: only its own."""

    widths: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not set(self.widths) <= set(WIDTHS) or not all(1 <= depth <= 8 for depth in self.depths):
            raise InputError(f"sizes.widths must be among {WIDTHS} and sizes.depths in 1..8, not {self.widths}, {self.depths}")

    def specs(self, field: FieldSpec) -> list[FieldSpec]:
        """All sizes, `field` the last. Raises `InputError` where it is not the largest."""
        widths, depths = sorted({*self.widths, field.width}), sorted({*self.depths, field.depth})
        if (widths[-1], depths[-1]) != (field.width, field.depth):
            raise InputError(f"field.width and field.depth must be the largest of sizes: {widths[-1]}, {depths[-1]}")
        if field.direction_frequencies and len(widths) * len(depths) > 1:
            raise InputError("sizes are of fields whose colors see no directions: set field.direction_frequencies 0")
        return [replace(field, width=width, depth=depth) for depth in depths for width in widths]

    def shuffled(self, field: FieldSpec, generator: torch.Generator) -> list[FieldSpec]:
        """All sizes in a random order; nothing is drawn if there is only one.

        A step's rays are in an order (those on the object stand together), so a size must not always have the same places.
        """
        specs = self.specs(field)
        return specs if len(specs) == 1 else [specs[i] for i in torch.randperm(len(specs), generator=generator)]


def size_name(spec: FieldSpec) -> str:
    return f"{spec.width}x{spec.depth}"


def names_in_largest(spec: FieldSpec, largest: FieldSpec) -> dict[str, str]:
    """Name in a field of `spec` -> name in the largest: outputs are slices of outputs, the n-th layer of the n-th."""
    return {name: name for name in spec.param_shapes} | {spec.layer_names[-1]: largest.layer_names[-1]}


class Slices(nn.Module):
    """What smaller networks share with one that has the matrices `base`, and have for themselves.

    Args:
        width: of the features.
        base: starting values of the largest's matrices.
        smaller: size -> shapes of its parameters, by the names of the largest's, none larger along any dimension.
        learn: whether the bases are learned.
    """

    def __init__(self, width: int, base: Mapping[str, Tensor], smaller: Mapping[str, Shapes], learn: bool) -> None:
        super().__init__()
        self.shapes = {name: tuple(value.shape) for name, value in base.items()}
        self.smaller = {size: {n: shape for n, shape in of.items() if n in base} for size, of in smaller.items()}
        self.embeddings = nn.ParameterDict({size: nn.Parameter(torch.zeros(width)) for size in smaller})
        self.bases = nn.ModuleDict(
            {
                size: nn.ParameterDict(
                    {n: nn.Parameter(self.cut(n, base[n], size) * self.gain(n, size), learn) for n in self.smaller[size]}
                )
                for size in smaller
            }
        )

    def features(self, features: Tensor, size: str) -> Tensor:
        return features + self.embeddings[size]

    def base(self, size: str) -> dict[str, Tensor]:
        """The smaller network's matrices, by the names of the largest's."""
        return dict(self.bases[size].named_parameters())

    def cut(self, name: str, tensor: Tensor, size: str) -> Tensor:
        """[…, *shape of the largest] to [..., *shape of `size`]."""
        for dimension, length in zip(range(-len(self.shapes[name]), 0), self.smaller[size][name], strict=True):
            tensor = tensor.narrow(dimension, 0, length)
        return tensor

    def gain(self, name: str, size: str) -> float:
        """For matrices of fewer inputs: sums of fewer terms deviate less."""
        return math.sqrt(self.shapes[name][1] / self.smaller[size][name][1])
