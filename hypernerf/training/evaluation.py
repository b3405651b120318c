"""Measuring a generator on scenes and views that training never saw, beside what costs nothing to guess."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..fields import FieldWeights
from ..models import Generator, SceneCode
from ..rendering import RenderSettings, render_views
from ..types import InputError
from .evenly import evenly
from .experiment import EvaluateConfig
from .metrics import SMALLEST, ImageMetric, psnr, ssim
from .store import StoredScene, context_views


@dataclass(frozen=True)
class Scores:
    """Means over scenes (each scene's mean over its target views first)."""

    psnr: float
    ssim: float
    lpips: float | None


@torch.no_grad()
def reconstruct(generator: Generator, scene: StoredScene, views: Sequence[int]) -> FieldWeights:
    """Field weights of one scene from the given views, at the precision of a scene file."""
    chosen = list(views)
    return generator(context_views([scene], chosen).to(generator.device)).rounded()


def target_views(scene: StoredScene, config: EvaluateConfig, counts: Sequence[int]) -> list[int]:
    """The views that every count is scored on: those no count reads, thinned evenly to `max_target_views`."""
    read = {view for count in counts for view in config.views_for(count)}
    rest = [view for view in range(len(scene)) if view not in read]
    return rest if config.max_target_views is None else evenly(rest, config.max_target_views)


def check_views(scenes: Iterable[StoredScene], config: EvaluateConfig, counts: Sequence[int]) -> None:
    """Raises `InputError` for scenes that cannot be scored with these numbers of context views: too few views, or too small."""
    most = max(view for count in counts for view in config.views_for(count))
    for scene in scenes:
        if len(scene) <= most or not target_views(scene, config, counts):
            raise InputError(
                f"{scene.scene_id}: {len(scene)} views are too few for context views {list(counts)} and a target view: "
                "set evaluate.context_views, or --context-views"
            )
        height, width = scene.images.shape[1:3]
        if min(height, width) < SMALLEST:
            raise InputError(
                f"{scene.scene_id}: images of {height}x{width} are too small to be scored: {SMALLEST} pixels at least"
            )


def evaluate_fields(
    scenes: Iterable[StoredScene],
    fields: Callable[[StoredScene], FieldWeights],
    targets: Callable[[StoredScene], list[int]],
    settings: RenderSettings,
    lpips: ImageMetric | None = None,
    on_scene: Callable[[StoredScene, FieldWeights, Tensor], None] = lambda scene, weights, images: None,
) -> Scores:
    """Scores of the fields that `fields` gives for the scenes, on their target views."""

    def predict(scene: StoredScene) -> Tensor:
        weights = fields(scene)
        images = render_views(weights, scene.cameras[targets(scene)], scene.background, settings).color
        on_scene(scene, weights, images)
        return images

    return evaluate_images(scenes, predict, targets, lpips)


def evaluate_images(
    scenes: Iterable[StoredScene],
    predict: Callable[[StoredScene], Float[Tensor, "target height width 3"]],
    targets: Callable[[StoredScene], list[int]],
    lpips: ImageMetric | None = None,
) -> Scores:
    """Scores of predicted images against the scenes' target views."""
    rows = []
    for scene in scenes:
        truth, guess = scene.image(targets(scene)), predict(scene)
        perceptual = lpips(guess, truth).mean().item() if lpips else float("nan")
        rows.append([psnr(guess, truth).mean().item(), ssim(guess, truth).mean().item(), perceptual])
    means = torch.tensor(rows).mean(0).tolist()
    return Scores(means[0], means[1], means[2] if lpips else None)


def nearest_context_view(scene: StoredScene, context: Sequence[int], targets: Sequence[int]) -> Tensor:
    """For each target view the context image whose camera looks most nearly the same way."""
    axes = scene.cameras.camera_to_world[..., :3, 2]
    nearest = (axes[list(targets)] @ axes[list(context)].T).argmax(dim=1)
    return scene.image(list(context))[nearest]


def mean_image(scenes: Sequence[StoredScene]) -> Float[Tensor, "height width 3"]:
    """The mean of all views of all scenes."""
    return torch.stack([scene.images.float().mean(0) for scene in scenes]).mean(0) / 255


@torch.no_grad()
def mean_code(generator: Generator, scenes: Sequence[StoredScene], views: int, most: int = 256, chunk: int = 32) -> SceneCode:
    """The average code (one scene) of up to `most` training scenes, each read from its first `views` views."""
    chosen = evenly(scenes, most)
    count = min(views, min(len(scene) for scene in chosen))
    codes = []
    for start in range(0, len(chosen), chunk):
        codes.append(generator.encode(context_views(chosen[start : start + chunk], range(count)).to(generator.device)))
    return SceneCode.mean(codes)
