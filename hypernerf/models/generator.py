"""The whole generator: posed images of scenes in, field weights out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from ..fields import FieldSpec, FieldWeights, initial_weights
from ..types import Cameras
from .hypernetwork import Hypernetwork, HypernetworkConfig
from .image_encoder import ImageEncoder, ImageEncoderConfig
from .set_encoder import SetEncoderConfig, build_set_encoder


@dataclass(frozen=True)
class EncoderConfig:
    image: ImageEncoderConfig = dataclasses.field(default_factory=ImageEncoderConfig)
    set: SetEncoderConfig = dataclasses.field(default_factory=SetEncoderConfig)


@dataclass(frozen=True)
class GeneratorConfig:
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    hypernetwork: HypernetworkConfig = dataclasses.field(default_factory=HypernetworkConfig)
    field: FieldSpec = dataclasses.field(default_factory=FieldSpec)


class Generator(nn.Module):
    """`encode`: a set of views to a latent; `generate`: a latent to field weights; calling it does both."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        latent = config.hypernetwork.latent
        image = config.encoder.image
        self.image_encoder = ImageEncoder(image)
        self.set_encoder = build_set_encoder(config.encoder.set, image.tokens, image.channels[-1], latent)
        self.hypernetwork = Hypernetwork(config.hypernetwork, initial_weights(config.field))

    def encode(
        self, images: Float[Tensor, "scene view height width 3"], cameras: Cameras
    ) -> Float[Tensor, "scene latent"]:
        """Cameras have batch shape [scene, view] and are in scene-sphere coordinates."""
        return self.set_encoder(self.image_encoder(images, cameras))

    def generate(self, latent: Float[Tensor, "scene latent"]) -> FieldWeights:
        return FieldWeights(self.config.field, self.hypernetwork(latent))

    def forward(self, images: Float[Tensor, "scene view height width 3"], cameras: Cameras) -> FieldWeights:
        return self.generate(self.encode(images, cameras))
