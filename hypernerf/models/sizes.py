"""Fields of several sizes from one hypernetwork: each size's matrices are slices of the largest's.

As slimmable networks (Yu et al. 2019) share slices, and hypernetworks for architecture search (Brock et al. 2018; Zhang et al.
2019) are told of the architecture. A slice of fewer inputs is scaled so that its outputs deviate as before; each size adds to the
shared base an offset of its own, and to the features of the latent an embedding of its own, both 0 at first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

    def draw(self, field: FieldSpec, generator: torch.Generator) -> FieldSpec:
        """One size, each as likely as any other; `field` itself, and nothing drawn, if it is the only one."""
        specs = self.specs(field)
        return specs[int(torch.randint(len(specs), (), generator=generator))] if len(specs) > 1 else field


def size_name(spec: FieldSpec) -> str:
    return f"{spec.width}x{spec.depth}"


def names_in_largest(spec: FieldSpec, largest: FieldSpec) -> dict[str, str]:
    """Name in a field of `spec` -> name in the largest: outputs are slices of outputs, the n-th layer of the n-th."""
    return {name: name for name in spec.param_shapes} | {spec.layer_names[-1]: largest.layer_names[-1]}


class Slices(nn.Module):
    """What smaller networks share with, and have beside, one whose parameters have `shapes`.

    Args:
        width: of the features.
        smaller: size -> shapes of its parameters, by the names of the largest's, none larger along any dimension.
    """

    def __init__(self, width: int, shapes: Shapes, smaller: Mapping[str, Shapes]) -> None:
        super().__init__()
        self.shapes, self.smaller = dict(shapes), {size: dict(of) for size, of in smaller.items()}
        self.embeddings = nn.ParameterDict({size: nn.Parameter(torch.zeros(width)) for size in smaller})
        self.offsets = nn.ModuleDict(
            {
                size: nn.ParameterDict({n: nn.Parameter(torch.zeros(shape)) for n, shape in of.items()})
                for size, of in smaller.items()
            }
        )

    def features(self, features: Tensor, size: str) -> Tensor:
        return features + self.embeddings[size]

    def names(self, size: str) -> Sequence[str]:
        return list(self.smaller[size])

    def base(self, name: str, base: Tensor, size: str) -> Tensor:
        """The smaller network's base, for the larger's."""
        return self.cut(name, base, size) * self.gain(name, size) + self.offsets[size].get_parameter(name)

    def cut(self, name: str, tensor: Tensor, size: str) -> Tensor:
        """[…, *shape of the largest] to [..., *shape of `size`]."""
        for dimension, length in zip(range(-len(self.shapes[name]), 0), self.smaller[size][name], strict=True):
            tensor = tensor.narrow(dimension, 0, length)
        return tensor

    def gain(self, name: str, size: str) -> float:
        """For matrices of fewer inputs; sums of fewer terms deviate less."""
        whole, part = self.shapes[name], self.smaller[size][name]
        return math.sqrt(whole[1] / part[1]) if len(whole) == 2 else 1.0
