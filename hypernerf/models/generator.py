"""The whole generator: posed images of scenes in, field weights out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..fields import FieldDistribution, FieldSpec, FieldWeights, initial_weights
from ..types import ContextViews, InputError
from .hypernetwork import Hypernetwork, HypernetworkConfig
from .image_encoder import ImageEncoder, ImageEncoderConfig
from .lift import Lift, LiftConfig, Lifted
from .motion import Motion
from .refinement import Refinement, RefinementConfig
from .seen import SeenReader
from .set_encoder import SetEncoderConfig, build_set_encoder
from .sizes import SizesConfig, names_in_largest, size_name


@contextmanager
def no_larger_than(elements: int) -> Iterator[None]:
    """While models are built here, one with more parameters than `elements` raises `InputError` before it fills its memory."""
    left = elements

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        left -= 0 if parameter is None else parameter.numel()
        if left < 0:
            raise InputError(f"the configuration's model has more than the {elements} parameters there are")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


@dataclass(frozen=True)
class EncoderConfig:
    image: ImageEncoderConfig = dataclasses.field(default_factory=ImageEncoderConfig)
    set: SetEncoderConfig = dataclasses.field(default_factory=SetEncoderConfig)
    lift: LiftConfig = dataclasses.field(default_factory=LiftConfig)


@dataclass(frozen=True)
class GeneratorConfig:
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    hypernetwork: HypernetworkConfig = dataclasses.field(default_factory=HypernetworkConfig)
    field: FieldSpec = dataclasses.field(default_factory=FieldSpec)
    sizes: SizesConfig = dataclasses.field(default_factory=SizesConfig)
    refinement: RefinementConfig = dataclasses.field(default_factory=RefinementConfig)


@dataclass(frozen=True)
class SceneCode:
    """What the encoder has to say of scenes: a latent and, if the configuration lifts features, volumes of them."""

    latent: Float[Tensor, "scene latent"]
    lifted: Lifted | None = None

    @staticmethod
    def mean(codes: list[SceneCode]) -> SceneCode:
        """The average [1, …] over all scenes of several codes."""

        def average(parts: list[Tensor]) -> Tensor:
            return torch.cat(parts).mean(0, keepdim=True)

        lifted = [code.lifted for code in codes if code.lifted is not None]
        volumes = Lifted(average([x.learned for x in lifted]), average([x.seen for x in lifted])) if lifted else None
        return SceneCode(average([code.latent for code in codes]), volumes)


@dataclass(frozen=True)
class Draft:
    """Field weights before they are looked at, and the maps that planes and volume were written from, by their names."""

    weights: FieldWeights
    maps: dict[str, Tensor]


class Generator(nn.Module):
    """`encode`: a set of views to a code; `draft`: a code to field weights; `refined`: those, after a look from the views.

    Calling it does all three.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        latent = config.hypernetwork.latent
        image = config.encoder.image
        sizes = config.sizes.specs(config.field)
        if config.hypernetwork.factors and len(sizes) > 1:
            raise InputError("hypernetwork.factors are of one size: set sizes.widths [] and sizes.depths []")
        if config.hypernetwork.conditioned:
            self.image_encoder = ImageEncoder(image)
        lift = config.encoder.lift
        if lift.resolution and not (config.field.plane_resolution or config.field.volume_resolution):
            raise InputError(
                "encoder.lift feeds the field's planes and volume: set field.plane_resolution or field.volume_resolution"
            )
        if lift.resolution and not image.rays:
            raise InputError(
                "encoder.lift places images by their cameras: without encoder.image.rays, set encoder.lift.resolution 0"
            )
        self.lift = Lift(lift, image.channels, image.stem) if lift.resolution else None
        if config.hypernetwork.conditioned:
            self.set_encoder = build_set_encoder(config.encoder.set, image.token_count, image.channels[-1], latent)
        self.hypernetwork = Hypernetwork(
            config.hypernetwork,
            initial_weights(config.field),
            lifted=None if self.lift is None else self.lift.shape,
            smaller={size_name(spec): _shapes(spec, config.field) for spec in sizes[:-1]},
        )
        self.refinement: Refinement | None = None
        if config.refinement.rays:
            if self.lift is None:
                raise InputError("refinement needs to know where anything is seen: set encoder.lift.resolution")
            grids = self.hypernetwork.grids
            inside = int(grids["planes"].inside) if "planes" in grids else 0  # type: ignore[arg-type]
            self.refinement = Refinement(config.refinement, config.field, self.lift.shape.fine, inside)
        self.written = config.field  # what is written where no other field is asked for

        self.motion = Motion(config.hypernetwork.time, latent) if config.hypernetwork.time else None

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def use_backend(self, name: str) -> None:
        """Which code looks at the views, reads the colors seen and renders for `refined`. `auto` at first."""
        for module in self.modules():
            if isinstance(module, Lift | SeenReader | Refinement):
                module.backend = name

    def encode(self, context: ContextViews) -> SceneCode:
        if not self.config.hypernetwork.conditioned:  # nothing of a scene is asked for
            return SceneCode(context.images.new_zeros(len(context.images), self.config.hypernetwork.latent))
        stages = self.image_encoder.stages(context.images, context.cameras)
        latent = self.set_encoder(self.image_encoder.tokens(stages, context.images.shape[1]))
        return SceneCode(latent, None if self.lift is None else self.lift(context, stages))

    def at(self, code: SceneCode, times: Float[Tensor, " scene"] | None) -> SceneCode:
        """The code of each scene at its time; `code` itself where no time is asked for, or scenes stand still."""
        if self.motion is None or times is None:
            return code
        return dataclasses.replace(code, latent=self.motion(code.latent, times))

    def generate(self, code: SceneCode, spec: FieldSpec | None = None) -> FieldWeights:
        """Field weights of the architecture `spec`, one of `config.sizes`; None: of `written`. They are not refined."""
        return self.draft(code, spec).weights

    def draft(self, code: SceneCode, spec: FieldSpec | None = None) -> Draft:
        """As `generate`, with what `refined` needs to know beside."""
        return self.drafts(code, [spec or self.written])[0]

    def drafts(self, code: SceneCode, specs: Sequence[FieldSpec]) -> list[Draft]:
        """A draft of each size; they share planes and volume."""
        largest = self.config.field
        sizes = [None if spec == largest else size_name(spec) for spec in specs]
        written, maps = self.hypernetwork.with_maps(code.latent, code.lifted, sizes)
        drafts = []
        for spec, tensors in zip(specs, written, strict=True):
            names = names_in_largest(spec, largest)
            drafts.append(Draft(FieldWeights(spec, {name: tensors[there] for name, there in names.items()}), maps))
        return drafts

    def refined(self, draft: Draft, context: ContextViews, code: SceneCode) -> FieldWeights:
        """What was drafted for the context's code, corrected by how it looks from there, if there is a refinement."""
        if self.refinement is None or code.lifted is None:
            return draft.weights
        return self.refinement(draft.weights, draft.maps.get("planes"), context, code.lifted.seen)

    def distribution(self, code: SceneCode) -> FieldDistribution:
        """What `generate` gives, and in which directions it is uncertain (`hypernetwork.factors` of them, perhaps none)."""
        return FieldDistribution(self.generate(code), self.hypernetwork.factors(code.latent, code.lifted))

    def forward(self, context: ContextViews, spec: FieldSpec | None = None) -> FieldWeights:
        code = self.encode(context)
        return self.refined(self.draft(code, spec), context, code)

    def write(self, spec: FieldSpec) -> Generator:
        """From now on fields of `spec` are written. Raises `InputError` if this generator cannot."""
        known = self.config.sizes.specs(self.config.field)
        if spec not in known:
            names = ", ".join(size_name(one) for one in known)
            raise InputError(f"fields of width and depth {size_name(spec)} are not among what this run writes: {names}")
        self.written = spec
        return self


def _shapes(spec: FieldSpec, largest: FieldSpec) -> dict[str, tuple[int, ...]]:
    """Of a smaller field's parameters, by their names in the largest."""
    return {there: spec.param_shapes[name] for name, there in names_in_largest(spec, largest).items()}
