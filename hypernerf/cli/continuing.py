"""A run that goes on from another one with other scenes: what it is given, and what it leaves to those after it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from ..files import write_atomically
from ..training import Trainer
from ..training.continual import codes_of, load_codes, save_codes
from ..training.objectives import CODES, EARLIER_CODES
from ..training.streaming import sample_of
from ..types import InputError
from .common import sphere_of
from .session import Run, load_run
from .taking_up import Settings


def continued(settings: Settings, earlier: Path | None, folder: Path) -> tuple[Settings, Run | None]:
    """`settings` in the earlier run's scene sphere, and that run; its codes are copied into `folder`.

    Raises:
        InputError: the configuration needs an earlier run, or more of it than there is.
    """
    config = settings.experiment.train.continual
    if earlier is None:
        if config.weight or config.freeze_encoder:
            raise InputError("train.continual.weight and freeze_encoder need an earlier run: give --continue-from RUN")
        return settings, None
    run = load_run(earlier)
    source = settings.source
    if sphere_of(source) is None:
        sphere = run.transform
        source = replace(source, center=sphere.center, radius=sphere.radius, near=None, far=None)
    codes = run.folder / CODES
    if codes.is_file():
        write_atomically(folder / EARLIER_CODES, lambda place: shutil.copyfile(codes, place))
    elif config.weight:
        raise InputError(f"{codes}: not there: train the earlier run with train.continual.codes above 0")
    return replace(settings, source=source), run


def leave_codes(trainer: Trainer, folder: Path) -> None:
    """Codes of this run's scenes beside those it was given, if its configuration asks for any."""
    config = trainer.config
    if not config.continual.codes:
        return
    parts = [codes_of(trainer.average, sample_of(trainer.scenes), config.batch.context, config.continual.codes)]
    if (folder / EARLIER_CODES).is_file():
        parts.insert(0, load_codes(folder / EARLIER_CODES, trainer.experiment.field))
    save_codes(folder / CODES, parts)
