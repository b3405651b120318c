"""The base that a run's scenes are changes of: made from some of its training scenes, kept in its folder."""

from __future__ import annotations

import torch

from scenes.source import check_scene

from ..fields import FieldWeights
from ..fields.delta import BASE_FILE, SharedBase, load_base, make_base
from ..training import normalized, reconstruct, store_scene
from .common import open_source, tracked
from .session import Run

SCENES = 96


def run_base(run: Run) -> SharedBase:
    """The base in the run's folder; made anew if it is of other weights or fields. Raises `InputError` without scenes."""
    path, spec = run.folder / BASE_FILE, run.experiment.field
    if path.is_file():
        base = load_base(path)
        if base.step == run.step and base.mean.spec == spec:
            return base
    source = open_source(run.source)
    names = source.scene_ids("train")
    names = names[:: max(1, len(names) // SCENES)][:SCENES]
    parts = []
    for name in tracked(names, "base", len(names)):
        (scene,) = normalized([store_scene(check_scene(source.load(name)))], run.transform)
        count = min(run.experiment.train.batch.context[1], len(scene))
        parts.append(reconstruct(run.generator, scene, range(count)).tensors)
    weights = FieldWeights(spec, {name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    base = make_base(weights, run.step)
    base.save(path)
    return load_base(path)
