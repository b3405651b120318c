"""The whole evaluation of a run: image metrics, baselines, and shape metrics where the exact shape or masks are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from scenes.source import SceneSource

from ..export import Row
from ..fields import FieldWeights, SceneField
from ..training import (
    AdaptConfig,
    Scores,
    StoredScene,
    adapt,
    check_views,
    context_views,
    evaluate_fields,
    evaluate_images,
    nearest_context_view,
    reconstruct,
    target_views,
)
from ..training.metrics import ImageMetric, lpips_metric
from ..types import InputError
from .common import tracked
from .measure_shape import ShapeTask, score_meshes, score_shapes
from .session import Run


@dataclass(frozen=True)
class Adapting:
    """Whether fields are also scored after gradient steps on their context views, as reconstruct.py --adapt takes them."""

    steps: int = 0  # at most, a scene; 0: they are not
    counts: tuple[int, ...] = ()  # numbers of context views; none: all that are evaluated


@dataclass(frozen=True)
class Measurement:
    """`metrics` is what metrics.json holds; `rows` and `fields` (largest context, one forward pass) are for looking at."""

    metrics: dict[str, Any]
    rows: list[Row]
    fields: list[SceneField]


def measure(
    run: Run,
    scenes: Sequence[StoredScene],
    counts: Sequence[int],
    source: SceneSource | None = None,
    adapting: Adapting = Adapting(),
) -> Measurement:
    """Everything on `scenes`, for each number of context views in `counts`; all counts score the same target views.

    Args:
        source: if its `shape(scene_id)` gives the exact object, shape metrics are added, for the largest count.

    Raises:
        InputError: scenes with too few views, or `adapting` to a number of them that is not in `counts`.
    """
    lpips, lpips_missing = lpips_metric()
    task = _Task(run, scenes, sorted(set(counts)), lpips)
    task.check(adapting)
    results, laps = {}, _Laps()
    for count in task.counts:
        last = task.reconstructed(count, lambda scene, views: reconstruct(run.generator, scene, views))
        results[str(count)] = asdict(last.scores)
        laps.note(f"context_views_{count}")
    mean = run.generator.generate(run.mean_code).rounded()
    metrics: dict[str, Any] = {
        "scenes": len(scenes),
        "context_views": results,
        "baselines": {name: asdict(scores) for name, scores in task.baselines(mean).items()},
        "lpips_missing": lpips_missing or None,
        "step": run.step,
    }
    laps.note("baselines")
    shapes = ShapeTask(
        task.counts[-1], scenes, last.fields, run.scene_field("mean", mean, scenes[0].cameras), run.experiment.render
    )
    if source is not None and hasattr(source, "shape"):
        metrics["shape"] = score_shapes(shapes, source)
        laps.note("shape")
    elif all(scene.masks is not None for scene in scenes):
        metrics["mesh"] = score_meshes(shapes, task.targets)
        laps.note("mesh")
    if adapting.steps:
        metrics["adapted"] = task.adapted(adapting)
        laps.note("adapted")
    return Measurement({**metrics, "seconds": laps.seconds}, last.rows, last.fields)


class _Laps:
    """Seconds by name, each since the one before."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def note(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._last = round(now - self._last, 2), now


@dataclass(frozen=True)
class _Reconstructed:
    """The scenes of one number of context views."""

    scores: Scores
    rows: list[Row]
    fields: list[SceneField]


@dataclass(frozen=True)
class _Task:
    """What all scores of one evaluation share."""

    run: Run
    scenes: Sequence[StoredScene]
    counts: list[int]
    lpips: ImageMetric | None

    def check(self, adapting: Adapting) -> None:
        """Raises `InputError` where there is nothing to be right about."""
        check_views(self.scenes, self.run.experiment.evaluate, self.counts)
        if not set(adapting.counts) <= set(self.counts):
            raise InputError(f"can adapt only to numbers of context views that are evaluated: {self.counts}")

    def targets(self, scene: StoredScene) -> list[int]:
        return target_views(scene, self.run.experiment.evaluate, self.counts)

    def reconstructed(
        self, count: int, weights_of: Callable[[StoredScene, list[int]], FieldWeights], verb: str = "evaluate"
    ) -> _Reconstructed:
        """With the fields that `weights_of` gives for a scene and the numbers of its context views."""
        views = self.run.experiment.evaluate.views_for(count)
        rows, fields = [], []

        def keep(scene: StoredScene, weights: FieldWeights, images: torch.Tensor) -> None:
            rows.append(Row(scene.image(views), images[:2], scene.image(self.targets(scene)[:2])))
            fields.append(self.run.scene_field(scene.scene_id, weights, scene.cameras))

        bar = tracked(self.scenes, f"{verb} {count} view{'s' * (count > 1)}", len(self.scenes))
        settings = self.run.experiment.render
        scores = evaluate_fields(bar, lambda scene: weights_of(scene, views), self.targets, settings, self.lpips, keep)
        return _Reconstructed(scores, rows, fields)

    def adapted(self, adapting: Adapting) -> dict[str, Any]:
        """Scores by number of context views."""

        def weights_of(scene: StoredScene, views: list[int]) -> FieldWeights:
            return adapt(self.run.generator, context_views([scene], views), AdaptConfig(adapting.steps)).weights

        counts = sorted(set(adapting.counts)) or self.counts
        scores = {str(count): asdict(self.reconstructed(count, weights_of, "adapt to").scores) for count in counts}
        return {"steps": adapting.steps, "context_views": scores}

    def baselines(self, mean: FieldWeights) -> dict[str, Scores]:
        """What costs nothing to guess: the field of the mean code, the nearest of the most context views, the mean image."""
        scenes, lpips = self.scenes, self.lpips
        most = self.run.experiment.evaluate.views_for(self.counts[-1])

        def mean_images(scene: StoredScene) -> torch.Tensor:
            return _fit(self.run.mean_image, scene).expand(len(self.targets(scene)), -1, -1, -1)

        bar = tracked(scenes, "mean field", len(scenes))
        return {
            "mean_field": evaluate_fields(bar, lambda scene: mean, self.targets, self.run.experiment.render, lpips),
            "nearest_view": evaluate_images(
                scenes, lambda scene: nearest_context_view(scene, most, self.targets(scene)), self.targets, lpips
            ),
            "mean_image": evaluate_images(scenes, mean_images, self.targets, lpips),
        }


def _fit(image: torch.Tensor, scene: StoredScene) -> torch.Tensor:
    size = scene.images.shape[1:3]
    if image.shape[:2] == size:
        return image
    return torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], size, mode="area")[0].permute(1, 2, 0)
