"""Scores of a peer: by our code, on our own evaluation's context and target views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from hypernerf.cli.common import tracked
from hypernerf.training import EvaluateConfig, Scores, StoredScene, evaluate_images, target_views
from hypernerf.training.metrics import ImageMetric

from .common import Material, Peer


def targets_of(config: EvaluateConfig, counts: Sequence[int], scene: StoredScene) -> list[int]:
    """Those of our own evaluation: no number of views of the configuration reads them."""
    return target_views(scene, config, sorted({*config.context_views, *counts}))


@torch.no_grad()
def predict(peer: Peer, scene: StoredScene, views: Sequence[int], targets: Sequence[int]) -> torch.Tensor:
    """A peer's images [target, height, width, 3] of the target views, in [0, 1]; the same each time it is asked."""
    peer.model.eval()
    torch.manual_seed(0)
    return peer.predict(scene, views, targets).clamp(0, 1)


def scores_of(
    peer: Peer, scenes: Sequence[StoredScene], config: EvaluateConfig, counts: Sequence[int], count: int,
    lpips: ImageMetric | None = None,
) -> Scores:  # fmt: skip
    """With `count` context views, on targets that no number of `counts` reads."""
    targets = partial(targets_of, config, counts)
    bar = tracked(scenes, f"evaluate {count} view{'s' * (count > 1)}", len(scenes))
    return evaluate_images(bar, lambda scene: predict(peer, scene, config.views_for(count), targets(scene)), targets, lpips)


def watch(peer: Peer, material: Material, counts: Sequence[int]) -> dict[str, float]:
    """PSNR of two views of a few unseen scenes, for the fewest and the most context views."""
    config = replace(material.experiment.evaluate, max_target_views=2)
    shown = sorted({min(counts), max(counts)})
    return {str(count): scores_of(peer, material.watched, config, counts, count).psnr for count in shown}
