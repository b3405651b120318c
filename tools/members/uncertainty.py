"""uncertainty: whether a run knows where it is wrong, and whether the views it asks for are worth more than any others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor

from hypernerf.cli.common import tracked
from hypernerf.cli.session import Run, load_run, load_scenes
from hypernerf.export.maps import deviation_colors
from hypernerf.export.sheet import to_bytes
from hypernerf.fields import FieldDistribution
from hypernerf.rendering import render_views
from hypernerf.training import StoredScene, context_views, reconstruct
from hypernerf.training.metrics import psnr
from hypernerf.training.uncertainty import predicted_deviation, view_values
from hypernerf.types import InputError

from .calibration import coverage, sparsification_error
from .output import Cell, MemberParser, report

FIRST, TARGET_SHARE = 0, 3  # the view that is read first; of the others the last third are targets, the rest candidates
SEEN = 1 / 255  # pixels whose error and deviation are below it are background, right and certain


def main(arguments: Sequence[str]) -> None:
    parser = MemberParser(
        "uncertainty",
        "Measure a run of configs/family/uncertainty.yaml on unseen scenes. Pixels: rank correlation of predicted deviation and "
        "true error, area under the sparsification error curve, calibration. Views: one is read; the second is the one that is "
        "suggested, the farthest, any (the mean over all), or the best in hindsight; PSNR is of views that are neither.",
        "  python tools/family.py uncertainty runs/uncertainty -o out/uncertainty.png --json out/uncertainty.json",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a tools/fit_scenes.py run")
    options, overrides = parser.read(arguments)
    run = load_run(options.run, overrides)
    if not run.experiment.hypernetwork.factors:
        raise InputError(f"{options.run}: writes certain weights: train configs/family/uncertainty.yaml")
    scenes = load_scenes(run.source, "test", run.transform)
    pixels, rows = pixel_figures(run, scenes)
    seconds = [second_views(run, scene) for scene in tracked(scenes, "second views", len(scenes))]
    views = {name: float(np.mean([entry[name] for entry in seconds])) for name in seconds[0]}
    gains = np.array([entry["suggested"] - entry["any"] for entry in seconds])
    table: list[dict[str, Cell]] = [{"what": name, "value": value} for name, value in pixels.items()]
    table += [{"what": f"dB with 2 views, second: {name}", "value": value} for name, value in views.items()]
    table.append({"what": "suggested - any (dB)", "value": float(gains.mean())})
    table.append({"what": "its standard error (dB)", "value": float(gains.std(ddof=1) / len(gains) ** 0.5)})
    report(options, table, _picture(rows[:6]), scenes=len(scenes), run=str(options.run))


@torch.no_grad()
def _distribution(run: Run, scene: StoredScene, views: Sequence[int]) -> FieldDistribution:
    code = run.generator.encode(context_views([scene], views).to(run.generator.device))
    return run.generator.distribution(code)


def _split(scene: StoredScene) -> tuple[list[int], list[int]]:
    """(candidates for the second view, targets)."""
    rest = list(range(FIRST + 1, len(scene)))
    first_target = len(rest) - len(rest) // TARGET_SHARE
    return rest[:first_target], rest[first_target:]


def pixel_figures(run: Run, scenes: Sequence[StoredScene]) -> tuple[dict[str, float], list[list[Tensor]]]:
    """Figures over the pixels of two target views of all scenes, of fields read from one view; and what to show of each scene."""
    deviations, errors, rows = [], [], []
    for scene in tracked(scenes, "deviations", len(scenes)):
        targets = _split(scene)[1][:2]
        distribution = _distribution(run, scene, [FIRST])
        colors, deviation = predicted_deviation(distribution, scene.cameras[targets], scene.background, run.experiment.render, 16)
        error = (colors - scene.image(targets)).square().mean(-1).sqrt()
        deviations.append(deviation.flatten())
        errors.append(error.flatten())
        rows.append([scene.image(FIRST), colors[0], scene.image(targets[0]), error[0], deviation[0]])
    deviation, error = torch.cat(deviations), torch.cat(errors)
    there = (deviation > SEEN) | (error > SEEN)
    return {
        "Spearman, all pixels": float(spearmanr(deviation, error).statistic),
        "Spearman, without certain background": float(spearmanr(deviation[there], error[there]).statistic),
        "sparsification error (0 best)": sparsification_error(deviation, error),
        "the same in random order": sparsification_error(torch.rand(len(error)), error),
        "errors within 1 deviation (0.68)": coverage(deviation[there], error[there], 1.0),
        "errors within 2 deviations (0.95)": coverage(deviation[there], error[there], 2.0),
    }, rows


def second_views(run: Run, scene: StoredScene) -> dict[str, float]:
    """dB on the target views after a second view, by how it was chosen."""
    candidates, targets = _split(scene)
    settings, truth = run.experiment.render, scene.image(targets)
    after = []
    for candidate in candidates:
        weights = reconstruct(run.generator, scene, [FIRST, candidate])
        after.append(float(psnr(render_views(weights, scene.cameras[targets], scene.background, settings).color, truth).mean()))
    scores = view_values(_distribution(run, scene, [FIRST]), scene.cameras[candidates], scene.background, settings)
    positions = torch.nn.functional.normalize(scene.cameras.positions, dim=-1)
    farthest = int((positions[candidates] @ positions[FIRST]).argmin())
    return {
        "suggested": after[int(scores.argmax())], "any": float(np.mean(after)), "farthest": after[farthest], "best": max(after),
    }  # fmt: skip


def _picture(rows: Sequence[Sequence[Tensor]], scale: int = 2) -> Image.Image:
    """Scene by scene: view read, mean field, truth, error, predicted deviation, the last two in the same colors."""
    most = float(torch.cat([torch.cat([row[3].flatten(), row[4].flatten()]) for row in rows]).quantile(0.99))
    lines = []
    for row in rows:
        colors = [to_bytes(image) for image in row[:3]] + [deviation_colors(image.numpy(), most) for image in row[3:]]
        lines.append(np.concatenate(colors, axis=1))
    sheet = Image.fromarray(np.concatenate(lines))
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)
