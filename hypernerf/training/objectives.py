"""What is minimised beside the reconstruction, where a configuration asks for it."""

from __future__ import annotations

from pathlib import Path

from ..types import InputError
from .continual import Rehearsal, drawn, load_earlier, load_memory
from .experiment import Experiment
from .step import Further
from .uncertainty import spread_objective

# in a run's folder: what it was given of the runs before it, and what it leaves to those after it
EARLIER, MEMORY = "earlier.safetensors", "memory.safetensors"


def further_objectives(experiment: Experiment, run: Path) -> dict[str, Further]:
    """By name, those with a weight in the configuration.

    Raises:
        InputError: a file they need is not in the run's folder, or weights' spread is to be learned and they have none.
    """
    config, objectives = experiment.train, dict[str, Further]()
    if config.loss.spread:
        if not experiment.hypernetwork.factors:
            raise InputError(
                "train.loss.spread: weights have a spread where hypernetwork.factors says so: set it, to 8 for instance"
            )
        objectives["spread"] = spread_objective
    if config.continual.weight:
        memory, earlier = load_memory(run / EARLIER, experiment.field), load_earlier(run / EARLIER, experiment.generator)
        scenes = drawn(memory, experiment.encoder.image.image_size, experiment.render)
        objectives["earlier"] = Rehearsal(scenes, earlier, config.continual.weight)
    return objectives
