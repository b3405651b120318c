"""The weights of a field, for one or many scenes: plain named tensors beside the architecture they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .spec import FieldSpec


@dataclass(frozen=True)
class FieldWeights:
    """`tensors[name]` has shape [scene, *spec.param_shapes[name]]. Never written to."""

    spec: FieldSpec
    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        shapes = self.spec.param_shapes
        if shapes.keys() != self.tensors.keys():
            raise ValueError(f"weights {sorted(self.tensors)} do not fit a field with {sorted(shapes)}")
        for name, shape in shapes.items():
            if tuple(self.tensors[name].shape[1:]) != shape:
                raise ValueError(f"{name}: {tuple(self.tensors[name].shape)} is not [scene, {', '.join(map(str, shape))}]")

    def __len__(self) -> int:
        return next(iter(self.tensors.values())).shape[0]

    @property
    def device(self) -> torch.device:
        return next(iter(self.tensors.values())).device

    def __getitem__(self, index: slice) -> FieldWeights:
        return self.map(lambda tensor: tensor[index])

    def map(self, function) -> FieldWeights:
        """The weights with `function` applied to every tensor."""
        return FieldWeights(self.spec, {name: function(tensor) for name, tensor in self.tensors.items()})

    def plus(self, change: Mapping[str, Tensor]) -> FieldWeights:
        """The weights with `change` added, name by name."""
        return FieldWeights(self.spec, {name: tensor + change[name] for name, tensor in self.tensors.items()})

    def minus(self, other: FieldWeights) -> dict[str, Tensor]:
        """The change that leads from `other` here."""
        return {name: tensor - other.tensors[name] for name, tensor in self.tensors.items()}

    def rounded(self) -> FieldWeights:
        """The values that a scene file keeps (half precision), as float32: what is rendered is then what is stored."""
        return self.map(lambda tensor: tensor.detach().to(torch.float16).to(torch.float32))
