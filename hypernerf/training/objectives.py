"""What is minimised beside the reconstruction, where a configuration asks for it."""

from __future__ import annotations

from pathlib import Path

from .continual import KeepWritten, load_codes
from .experiment import Experiment
from .step import Further
from .uncertainty import spread_objective

EARLIER_CODES, CODES = "earlier_codes.safetensors", "codes.safetensors"  # in a run's folder: those it was given, and its own


def further_objectives(experiment: Experiment, run: Path) -> dict[str, Further]:
    """By name, those with a weight in the configuration. Raises `InputError` when a file they need is not in the run's folder."""
    config, objectives = experiment.train, dict[str, Further]()
    if config.loss.spread:
        objectives["spread"] = spread_objective
    if config.continual.weight:
        objectives["kept"] = KeepWritten(load_codes(run / EARLIER_CODES, experiment.field), config.continual.weight)
    return objectives
