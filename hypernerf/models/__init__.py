"""From posed images to field weights: image encoder, set encoder, hypernetwork, and the three composed."""

from .generator import Generator, GeneratorConfig
from .hypernetwork import Hypernetwork, HypernetworkConfig
from .image_encoder import ImageEncoder, ImageEncoderConfig
from .set_encoder import SetEncoderConfig, build_set_encoder

__all__ = [
    "Generator", "GeneratorConfig", "Hypernetwork", "HypernetworkConfig", "ImageEncoder", "ImageEncoderConfig",
    "SetEncoderConfig", "build_set_encoder",
]  # fmt: skip
