"""From posed images to field weights: image encoder, set encoder, hypernetwork, and the three composed."""

from .generator import EncoderConfig, Generator, GeneratorConfig, SceneCode
from .hypernetwork import Hypernetwork, HypernetworkConfig
from .image_encoder import ImageEncoder, ImageEncoderConfig
from .lift import LiftConfig, Lifted
from .refinement import RefinementConfig, ray_chances
from .set_encoder import SetEncoderConfig, build_set_encoder
from .sizes import SizesConfig

__all__ = [
    "EncoderConfig", "Generator", "GeneratorConfig", "Hypernetwork", "HypernetworkConfig", "ImageEncoder", "ImageEncoderConfig",
    "LiftConfig", "Lifted", "RefinementConfig", "SceneCode", "SetEncoderConfig", "SizesConfig", "build_set_encoder",
    "ray_chances",
]  # fmt: skip
