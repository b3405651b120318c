"""The base that a run's scenes are changes of: made from some of its training scenes, kept in its folder."""

from __future__ import annotations

import torch

from scenes.source import SceneError, check_scene

from ..fields import FieldWeights
from ..fields.delta import BASE_FILE, SharedBase, load_base, make_base
from ..training import StoredScene, evenly, normalized, reconstruct, store_scene
from ..types import InputError
from .common import open_source, tracked, warn
from .session import Run

SCENES = 96


def some_training_scenes(run: Run, most: int) -> list[StoredScene]:
    """Up to `most` of a run's training scenes, evenly chosen, in the scene sphere.

    Raises:
        InputError: none of these is usable.
    """
    source = open_source(run.source)
    names, scenes = evenly(source.scene_ids("train"), most), []
    for name in tracked(names, "load training scenes", len(names)):
        try:
            scenes.append(store_scene(check_scene(source.load(name))))
        except SceneError as error:  # training goes on without some, too
            warn(f"skipped: {error}")
    if not scenes:
        raise InputError(f"{run.folder}: none of {len(names)} training scenes is usable: try tools/check_scenes.py")
    return normalized(scenes, run.transform)


def run_base(run: Run) -> SharedBase:
    """The base in the run's folder; made anew if it is of other weights or fields. Raises `InputError` without scenes."""
    path, spec = run.folder / BASE_FILE, run.experiment.field
    if path.is_file():
        base = load_base(path)
        if base.step == run.step and base.mean.spec == spec:
            return base
    parts = []
    for scene in some_training_scenes(run, SCENES):
        count = min(run.experiment.train.batch.context[1], len(scene))
        parts.append(reconstruct(run.generator, scene, range(count)).tensors)
    weights = FieldWeights(spec, {name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    base = make_base(weights, run.step)
    base.save(path)
    return load_base(path)
