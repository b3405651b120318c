"""What a training step has at hand, what may be minimised of it beside the reconstruction, and what it has to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fields import FieldWeights
from ..models import Generator, SceneCode
from ..rendering import OccupancyGrid
from ..types import SceneBatch
from .experiment import TrainConfig


@dataclass(frozen=True)
class Step:
    """What a training step has at hand: the batch, what was read of it, what was written, and its own random numbers."""

    batch: SceneBatch
    code: SceneCode
    weights: FieldWeights
    occupancy: OccupancyGrid
    generator: torch.Generator
    config: TrainConfig


Further = Callable[[Generator, Step], Tensor]  # a weighted loss, to be added


@dataclass(frozen=True)
class StepReport:
    """What one step has to say. `progress` runs from 0 to 1 over the run; PSNR is of the step's own training rays.

    `skipped`: the scenes of a step that changed nothing, since its loss or gradient was not finite.
    """

    step: int
    progress: float
    minutes: float
    loss: float
    psnr: float
    rays_per_second: float
    skipped: tuple[str, ...] = ()
