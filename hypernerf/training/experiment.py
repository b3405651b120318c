"""The configuration of a run, composed of the components' own; the scenes' source has its own section beside it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..fields import FieldSpec
from ..models import GeneratorConfig, HypernetworkConfig, RefinementConfig, SizesConfig
from ..models.generator import EncoderConfig
from ..rendering import RenderSettings
from ..types import InputError
from .batches import BatchConfig
from .losses import LossConfig


@dataclass(frozen=True)
class ContinualConfig:
    """Of a run in a row of runs on different scenes; see `training.continual`."""

    scenes: int = 0  # whose fields are kept for the runs after this one
    weight: float = 0.0  # of still writing what the runs before wrote

    def __post_init__(self) -> None:
        if self.scenes < 0 or self.weight < 0:
            raise InputError("train.continual: scenes and weight must not be negative")


@dataclass(frozen=True)
class TrainConfig:
    """Training ends after `steps` or `minutes`, whichever comes first; warm-up, cosine and validations follow that."""

    steps: int = 20_000
    minutes: float | None = None
    seed: int = 0
    samples: int = 24  # points a ray, in the part of it that is not empty in every scene
    learning_rate: float = 1e-3
    warmup: float = 0.02  # share of the run
    clip: float = 1.0  # of the gradient's norm
    ema: float = 0.995  # decay of the averaged weights that are validated and saved
    refine_from: float = 0.5  # share of the run after which what is written is refined too, if there is a refinement
    occupancy_every: int = 10  # steps between looks at what is empty
    checkpoint_every: int = 500  # steps
    keep: int = 2  # checkpoints, the newest
    max_skipped: int = 10  # steps in a row whose loss or gradient is not finite, after which training stops
    validations: int = 8  # over the run, evenly by progress, the last at its end
    threads: int | None = None  # of torch on the CPU; None: torch's own choice
    device: str = "auto"
    backend: str = "auto"  # of the fields' networks: torch is the reference, auto the fastest of float32; see docs/gpu.md
    tensorboard: bool = False
    batch: BatchConfig = dataclasses.field(default_factory=BatchConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    continual: ContinualConfig = dataclasses.field(default_factory=ContinualConfig)

    def __post_init__(self) -> None:
        positive = ("steps", "samples", "learning_rate", "clip", "occupancy_every", "checkpoint_every", "keep", "max_skipped",
                    "validations")  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:
                raise InputError(f"train.{name} must be positive, not {getattr(self, name)}")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"train.minutes must be positive, not {self.minutes}")
        for name in ("ema", "warmup", "refine_from"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"train.{name} must be in 0..1 (1 excluded), not {getattr(self, name)}")


@dataclass(frozen=True)
class EvaluateConfig:
    """`context` fixes which views are read for a given number of them; numbers not in it read the first n views.

    Every count is scored on the same target views: those that none of the evaluated counts reads.
    """

    context: dict[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    context_views: tuple[int, ...] = (1, 3)
    max_target_views: int | None = None  # evenly chosen; None: all others
    meshes: int = 4  # examples written beside the report

    def __post_init__(self) -> None:
        for count, views in self.context.items():
            if len(views) != count:
                raise InputError(f"evaluate.context: {count} context views need {count} view numbers, not {list(views)}")
            if len(set(views)) < count or min(views, default=0) < 0:
                raise InputError(f"evaluate.context: view numbers begin at 0 and are all different, not {list(views)}")
        if not self.context_views or min(self.context_views) < 1:
            raise InputError("evaluate.context_views must name at least one number of views, each at least 1")
        if self.max_target_views is not None and self.max_target_views < 1:
            raise InputError(f"evaluate.max_target_views must be at least 1, not {self.max_target_views}")

    def views_for(self, count: int) -> list[int]:
        return list(self.context.get(count, range(count)))


@dataclass(frozen=True)
class Experiment:
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    hypernetwork: HypernetworkConfig = dataclasses.field(default_factory=HypernetworkConfig)
    field: FieldSpec = dataclasses.field(default_factory=FieldSpec)
    sizes: SizesConfig = dataclasses.field(default_factory=SizesConfig)
    refinement: RefinementConfig = dataclasses.field(default_factory=RefinementConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = dataclasses.field(default_factory=EvaluateConfig)
    render: RenderSettings = dataclasses.field(default_factory=RenderSettings)

    @property
    def generator(self) -> GeneratorConfig:
        return GeneratorConfig(self.encoder, self.hypernetwork, self.field, self.sizes, self.refinement)
