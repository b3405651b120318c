"""What a training step has at hand, and what may be minimised of it beside the reconstruction."""

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
