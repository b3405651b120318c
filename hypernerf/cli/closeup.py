"""The sheet of tools/evaluate.py --sheet: chosen scenes, large, from views near those that were read to views of the back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..export import save_image
from ..export.closeup import Closeup, Column, angles_to_context, closeup_sheet, spread_targets
from ..fields import FieldWeights
from ..rendering import render_views
from ..training import AdaptConfig, StoredScene, adapt, check_views, context_views, reconstruct, target_views
from ..types import InputError
from .common import console, tracked
from .session import Run

SHOWN = 3  # target views a scene


def draw_closeups(run: Run, scenes: Sequence[StoredScene], counts: Sequence[int], adapt_steps: int, path: Path) -> None:
    """Writes the sheet of `scenes` for the largest number of `counts`.

    Raises:
        InputError: a scene with too few views, or a place that cannot be written to.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: sheets are written as .png")
    drawn = [_closeup(run, scene, counts, adapt_steps) for scene in tracked(scenes, "draw", len(scenes))]
    save_image(path, closeup_sheet(drawn))
    console.print(f"{path}: {len(drawn)} scenes, {max(counts)} context views")


def _closeup(run: Run, scene: StoredScene, counts: Sequence[int], adapt_steps: int) -> Closeup:
    config = run.experiment.evaluate
    check_views([scene], config, counts)
    views, targets = config.views_for(max(counts)), target_views(scene, config, counts)
    angles = angles_to_context(scene.cameras, views, targets)
    chosen = spread_targets(angles, SHOWN)
    shown = [targets[i] for i in chosen]

    def column(title: str, weights: FieldWeights) -> Column:
        return Column(title, render_views(weights, scene.cameras[shown], scene.background, run.experiment.render).color)

    columns = [column("forward pass", reconstruct(run.generator, scene, views))]
    if adapt_steps:
        adapted = adapt(run.generator, context_views([scene], views), AdaptConfig(adapt_steps))
        columns.append(column(f"adapted, {adapted.steps} steps", adapted.weights))
    columns.append(Column("truth", scene.image(shown)))
    captions = tuple(f"{float(angles[i]):.0f} degrees from what was read" for i in chosen)
    return Closeup(scene.scene_id, scene.image(views), tuple(columns), captions)
