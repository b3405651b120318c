"""A run that goes on from another one with other scenes: what it is given, and what it leaves to those after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..training import Trainer
from ..training.continual import load_memory, remembered, save_memory
from ..training.objectives import EARLIER, MEMORY
from ..training.streaming import sample_of
from ..types import InputError
from .common import sphere_of
from .session import Run, load_run
from .taking_up import Settings


def continued(settings: Settings, earlier: Path | None, folder: Path) -> tuple[Settings, Run | None]:
    """`settings` in the earlier run's scene sphere, and that run; it and what it left are copied into `folder`.

    Raises:
        InputError: the configuration needs an earlier run, or more of it than there is.
    """
    config = settings.experiment.train.continual
    if earlier is None:
        if config.weight:
            raise InputError("train.continual.weight needs an earlier run: give --continue-from RUN")
        return settings, None
    run = load_run(earlier)
    source = settings.source
    if sphere_of(source) is None:
        sphere = run.transform
        source = replace(source, center=sphere.center, radius=sphere.radius, near=None, far=None)
    memory = run.folder / MEMORY
    if memory.is_file():
        save_memory(folder / EARLIER, [load_memory(memory, run.experiment.field)], run.generator)
    elif config.weight:
        raise InputError(f"{memory}: not there: train the earlier run with train.continual.scenes above 0")
    return replace(settings, source=source), run


def leave_memory(trainer: Trainer, folder: Path) -> None:
    """Fields of this run's scenes beside those it was given, if its configuration asks for any."""
    most = trainer.config.continual.scenes
    if not most:
        return
    parts = [remembered(trainer.average, sample_of(trainer.scenes), most)]
    if (folder / EARLIER).is_file():
        parts.insert(0, load_memory(folder / EARLIER, trainer.experiment.field))
    save_memory(folder / MEMORY, parts)
