"""The radiance field as a function of positions, directions and weights."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..ops import activated, batched_mlp, encoded_mlp, frequency_encoding, sample_planes, sample_volume
from ..types import FieldOutput
from .spec import FieldSpec
from .weights import FieldWeights

# density = 10 softplus(h - 3): at h = 0 about 0.5 per unit, a fog that half hides what is a unit or two behind it. Training
# from fog works; exp(h + 1), nearly opaque, collapsed to an empty scene when tried.
DENSITY_SHIFT = 3.0
DENSITY_SCALE = 10.0


def radiance_field(
    positions: Float[Tensor, "scene point 3"],
    directions: Float[Tensor, "scene point 3"] | None,
    weights: FieldWeights,
    backend: str = "auto",
) -> FieldOutput:
    """Density and color of points of several scenes, each by its own weights.

    Args: as `field_values`.
    """
    return activated(field_values(positions, directions, weights, backend), DENSITY_SHIFT, DENSITY_SCALE)


def field_values(
    positions: Float[Tensor, "scene point 3"],
    directions: Float[Tensor, "scene point 3"] | None,
    weights: FieldWeights,
    backend: str = "auto",
) -> Float[Tensor, "scene point 4"]:
    """The same before the activations, for `integrate`.

    Args:
        positions: scene-sphere coordinates.
        directions: unit viewing directions; read only when `spec.direction_frequencies` > 0, where they are required.
        weights: one set a scene.
        backend: of the batched MLP.
    """
    spec = weights.spec
    if spec.direction_frequencies:
        return _directional_network(positions, directions, weights, backend)
    tensors = weights.tensors
    trunk = [tensors[name] for name in spec.layer_names]
    return encoded_mlp(positions, spec.position_frequencies, tensors.get("planes"), tensors.get("volume"), trunk, backend)


def _directional_network(positions: Tensor, directions: Tensor | None, weights: FieldWeights, backend: str) -> Tensor:
    """As `encoded_mlp`, and the color sees the direction."""
    if directions is None:
        raise ValueError("this field's color depends on the viewing direction: pass directions")
    spec, tensors = weights.spec, weights.tensors
    features = [frequency_encoding(positions, spec.position_frequencies)]
    if spec.plane_resolution:
        features.append(sample_planes(tensors["planes"], positions))
    if spec.volume_resolution:
        features.append(sample_volume(tensors["volume"], positions))
    *trunk, density_layer = (tensors[name] for name in spec.layer_names)
    hidden = torch.relu(batched_mlp(torch.cat(features, dim=-1), trunk, backend))
    density = hidden @ density_layer.transpose(-1, -2)
    towards = torch.cat([hidden, frequency_encoding(directions, spec.direction_frequencies)], dim=-1)
    output = torch.cat([density, batched_mlp(towards, [tensors["color_0"], tensors["color_1"]], backend)], dim=-1)
    return output + features[-1][..., :4] if spec.volume_resolution else output


def initial_weights(spec: FieldSpec, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """Weights (no scene dimension) of a field that renders as fog of near-uniform gray, to start training from.

    He initialisation (He et al. 2015) for layers before a ReLU; the output layers start small, so that density and color
    begin near their values at 0; high frequencies start small, so that coarse shape is learned first.
    """
    result = {}
    for name, shape in spec.param_shapes.items():
        values = torch.randn(shape, generator=generator)
        if name in ("planes", "volume"):  # features to be generated: empty in the base
            result[name] = torch.zeros(shape)
            continue
        scale = math.sqrt(2.0 / shape[1])
        if name in (spec.layer_names[-1], "color_1"):
            scale *= 0.1
        result[name] = values * scale
        if name == "layer_0":
            octave = torch.arange(spec.position_frequencies).repeat_interleave(6)
            result[name][:, 3 : 3 + len(octave)] *= 2.0 ** (-0.5 * octave)
    return result
