"""Which view of a scene to take next: the one that would tell most of what is uncertain."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..fields import FieldDistribution, FieldWeights, SceneField
from ..geometry import orbit_cameras
from ..rendering import RenderSettings
from ..training import StoredScene, context_views
from ..training.uncertainty import view_values
from ..types import Cameras, InputError
from .session import Run

AROUND, ELEVATION = 16, 25.0  # cameras of an orbit, where a scene has no view left


@torch.no_grad()
def distribution_of(run: Run, scene: StoredScene, weights: FieldWeights) -> FieldDistribution:
    """The distribution around `weights`, which were written for all views of `scene`; without factors if the run writes none."""
    generator = run.generator
    if not run.experiment.hypernetwork.factors:
        return FieldDistribution(weights, {})
    code = generator.encode(context_views([scene], range(len(scene))).to(generator.device))
    factors = generator.hypernetwork.factors(code.latent, code.lifted)
    return FieldDistribution(weights, {name: value.half().float() for name, value in factors.items()})


def suggestion(run: Run, field: SceneField, distribution: FieldDistribution, cameras: Cameras, left: Sequence[int]) -> str:
    """One line that names the view among `left` of a scene's `cameras` [view], or a camera around it if none is left."""
    if not distribution.rank:
        raise InputError(f"{run.folder}: its weights are certain: --suggest-view needs a run of configs/family/uncertainty.yaml")
    if left:
        candidates = cameras[list(left)]
    else:
        candidates = orbit_cameras(
            AROUND, distance=field.camera_distance, elevation_degrees=ELEVATION, size=(64, 64),
            field_of_view_degrees=field.field_of_view_degrees, up=torch.tensor(field.up),
        )  # fmt: skip
    small = candidates.resized(*(min(64, side) for side in (candidates.height, candidates.width)))
    values = view_values(distribution, small, torch.tensor(field.background), RenderSettings(samples=24, grid=40))
    best = int(values.argmax())
    more = f"{float(values[best]):.0%} of what is uncertain, the mean of {len(values)} {float(values.mean()):.0%}"
    if left:
        return f"view {left[best]} would tell most: {more}"
    place = torch.tensor(field.transform.center) + field.transform.radius * candidates.positions[best]
    x, y, z = place.tolist()
    return f"a camera at ({x:.4g}, {y:.4g}, {z:.4g}), looking at the scene's center, would tell most: {more}"
