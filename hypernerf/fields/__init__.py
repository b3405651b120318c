"""Radiance fields whose weights are arguments: the architecture (`FieldSpec`), the weights, and the function of both."""

from .distribution import FieldDistribution, load_spread, save_spread, spread_file
from .radiance_field import DENSITY_SCALE, DENSITY_SHIFT, field_values, initial_weights, radiance_field
from .scene_file import SceneField, load_scene_file, save_delta_file, save_scene_file
from .spec import FieldSpec
from .weights import FieldWeights

__all__ = [
    "DENSITY_SCALE", "DENSITY_SHIFT", "FieldDistribution", "FieldSpec", "FieldWeights", "SceneField", "field_values",
    "initial_weights", "load_scene_file", "load_spread", "radiance_field", "save_delta_file", "save_scene_file", "save_spread",
    "spread_file",
]  # fmt: skip
