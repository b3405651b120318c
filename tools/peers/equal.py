"""Trans-INR and our model at equal dimensions, for what a step of each takes.

The field is the same: 4 layers of 64, as many frequencies (the recipe has 20; 16 are the most that ours holds), no planes, no
volume; there are no hidden biases on our side. So are the scenes, rays and points of a step, and the context images. The encoders
differ in kind, so "equal" has two meanings here, and both are timed:

* as many parameters: our convolutions and mean over views, as wide as comes nearest to the parameters of its tokenizer and
  transformer. Convolutions spend fewer operations on a parameter than attention over all tokens does: that is why we use them;
* the same width and number of layers: our set encoder of kind `attention`.

What follows on the encoder (`hypernetwork`) is what each has: weight tokens and a linear map there, our defaults here. Losses too
are what each has: color there; color, opacity, the visual hull, clipping and the running average here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hypernerf.fields import FieldSpec
from hypernerf.models import EncoderConfig, Generator, ImageEncoder, LiftConfig, SetEncoderConfig, build_set_encoder
from hypernerf.training import Experiment, StoredScene

from .common import Material, depth_bounds
from .trans_inr import TransInr, TransInrConfig


@dataclass(frozen=True)
class Sizes:
    """Dimensions of both."""

    scenes: int = 32  # a step
    rays: int = 96  # a scene
    samples: int = 24  # a ray
    patch: int = 8  # pixels along a side
    dim: int = 192  # of a token
    layers: int = 4  # of the encoder
    heads: int = 3
    field_layers: int = 4
    field_width: int = 64
    frequencies: int = 16
    view: int = 128  # pixels along a side of the picture
    view_samples: int = 128  # a ray of it, in Trans-INR's renderer
    view_rays: int = 256  # at a time there: a quarter of the recipe's, which is quickest on a CPU

    def field(self) -> FieldSpec:
        return FieldSpec(self.field_width, self.field_layers - 1, self.frequencies)


class EqualTransInr(TransInr):
    """Trans-INR with the field of `Sizes`."""

    def __init__(self, sizes: Sizes, scenes: Sequence[StoredScene], experiment: Experiment, repository: Path) -> None:
        self.sizes = sizes
        settings = TransInrConfig(
            scenes=sizes.scenes, rays=sizes.rays, points=sizes.samples, dim=sizes.dim, depth=sizes.layers, heads=sizes.heads,
            hidden=sizes.field_width, patch=sizes.patch,
        )  # fmt: skip
        super().__init__(settings, Material(list(scenes), [], [], *depth_bounds(scenes), experiment, repository), [])
        self.trainer.epoch = 2  # rays from anywhere, as in all epochs but the first

    def recipe(self, repository: Path) -> dict[str, Any]:
        recipe = super().recipe(repository)
        recipe["model"]["args"]["hyponet"]["args"] |= {"depth": self.sizes.field_layers, "pe_dim": 2 * self.sizes.frequencies}
        return recipe

    @property
    def encoder_parameters(self) -> int:
        return parameters(self.model.tokenizer, self.model.transformer_encoder)


def parameters(*modules: nn.Module) -> int:
    return sum(value.numel() for module in modules for value in module.parameters())


def our_encoder_parameters(model: Generator) -> int:
    """Of all that stands between images and latent."""
    parts: list[nn.Module | None] = [model.image_encoder, model.set_encoder, model.lift]
    return parameters(*[part for part in parts if part is not None])


def our_rivals(sizes: Sizes, user: Experiment, views: int, encoder_target: int) -> dict[str, Experiment]:
    """Our experiments by name: both kinds of equality, and the user's own model with the same batch.

    Args:
        user: whose image encoder is taken for all of them.
        encoder_target: parameters that an encoder is to have.
    """
    batch = dataclasses.replace(user.train.batch, scenes=sizes.scenes, rays=sizes.rays, context=(views, views))
    train = dataclasses.replace(user.train, samples=sizes.samples, batch=batch, backend="auto", minutes=None, refine_from=0.5)
    plain = dataclasses.replace(Experiment(field=sizes.field()), train=train)
    image = user.encoder.image
    attention = SetEncoderConfig(kind="attention", width=sizes.dim, layers=sizes.layers, heads=sizes.heads)
    encoders = {
        "ours, equal encoder": matched_encoder(EncoderConfig(image, user.encoder.set, LiftConfig()), encoder_target),
        "ours, attention": EncoderConfig(image, attention, LiftConfig()),
    }
    rivals = {name: dataclasses.replace(plain, encoder=encoder) for name, encoder in encoders.items()}
    rivals["ours, as configured"] = dataclasses.replace(user, train=train)
    if user.refinement.rays:
        refined = dataclasses.replace(train, refine_from=0.0)
        rivals["ours, as configured, refined"] = dataclasses.replace(user, train=refined)
    return rivals


def matched_encoder(config: EncoderConfig, target: int, latent: int = Experiment().hypernetwork.latent) -> EncoderConfig:
    """`config` with a set encoder of kind `mean`, as wide as gives about `target` parameters."""
    config = dataclasses.replace(config, set=SetEncoderConfig())

    def count(width: int) -> int:
        image = config.image
        with torch.device("meta"):  # nothing is drawn, nothing is held
            encoder = build_set_encoder(SetEncoderConfig(width=width), image.token_count, image.channels[-1], latent)
            return parameters(ImageEncoder(image), encoder)

    width = min(range(8, 1025, 8), key=lambda width: abs(count(width) - target))
    return dataclasses.replace(config, set=SetEncoderConfig(width=width))
