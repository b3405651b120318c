"""NeRF-synthetic folders (Mildenhall et al. 2020), one by one or many beside each other: a part of nerfstudio's form."""

from __future__ import annotations

from dataclasses import dataclass

from .nerfstudio import TransformsConfig, TransformsSource, load_transforms_scene
from .source import register_source


@dataclass(frozen=True)
class BlenderConfig(TransformsConfig):
    """`transforms.json` with `camera_angle_x`, frames named without `.png`; or `transforms_{train,val,test}.json`."""


@register_source("blender", BlenderConfig)
class BlenderSource(TransformsSource):
    pass


load_blender_scene = load_transforms_scene
