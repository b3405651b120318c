"""Radiance fields whose weights are arguments: the architecture (`FieldSpec`), the weights, and the function of both."""

from .radiance_field import initial_weights, radiance_field
from .scene_file import SceneField, load_scene_file, save_delta_file, save_scene_file
from .spec import FieldSpec
from .weights import FieldWeights

__all__ = [
    "FieldSpec", "FieldWeights", "SceneField", "initial_weights", "load_scene_file", "radiance_field",
    "save_delta_file", "save_scene_file",
]  # fmt: skip
