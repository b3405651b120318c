"""The radiance field as a function of positions, directions and weights."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..ops import batched_mlp
from ..types import FieldOutput
from .encodings import frequency_encoding, sample_planes, sample_volume
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

    Args:
        positions: scene-sphere coordinates.
        directions: unit viewing directions; read only when `spec.direction_frequencies` > 0, where they are required.
        weights: one set a scene.
        backend: of the batched MLP.
    """
    spec, tensors = weights.spec, weights.tensors
    features = frequency_encoding(positions, spec.position_frequencies)
    coarse = None
    if spec.plane_resolution:
        features = torch.cat([features, sample_planes(tensors["planes"], positions)], dim=-1)
    if spec.volume_resolution:
        seen = sample_volume(tensors["volume"], positions)
        features, coarse = torch.cat([features, seen], dim=-1), seen[..., :4]
    output = _network(features, directions, weights, backend)
    if coarse is not None:  # a short way from what generated the volume to what is seen; the network adds detail
        output = output + coarse
    return FieldOutput(_density(output[..., 0]), torch.sigmoid(output[..., 1:]))


def _network(features: Tensor, directions: Tensor | None, weights: FieldWeights, backend: str) -> Tensor:
    """Density and color before their activations, [scene, point, 4]."""
    spec, tensors = weights.spec, weights.tensors
    trunk = [tensors[name] for name in spec.layer_names]
    if not spec.direction_frequencies:
        return batched_mlp(features, trunk, backend)
    if directions is None:
        raise ValueError("this field's color depends on the viewing direction: pass directions")
    hidden = torch.relu(batched_mlp(features, trunk[:-1], backend))
    density = hidden @ trunk[-1].transpose(-1, -2)
    towards = torch.cat([hidden, frequency_encoding(directions, spec.direction_frequencies)], dim=-1)
    return torch.cat([density, batched_mlp(towards, [tensors["color_0"], tensors["color_1"]], backend)], dim=-1)


def _density(value: Tensor) -> Tensor:
    return DENSITY_SCALE * torch.nn.functional.softplus(value - DENSITY_SHIFT)


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
