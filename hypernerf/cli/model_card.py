"""What stands beside a model that is handed on: where it comes from, how good it is, and what it is not for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenes.source import SourceConfig

from ..training import Experiment
from .session import Run

HEAD = """---
license: apache-2.0
library_name: hypernerf
tags: [nerf, hypernetwork, 3d-reconstruction]
---
"""
NOT_MEASURED = "Not measured: the run has no metrics.json.\n"
LIMITS = """* Scenes unlike the training scenes come out as a blur of what is nearest among those.
* What no context view shows is a guess at the average; parts thinner than a pixel or two fade.
* {cameras}; the object lies in the sphere at {center} of radius {radius:g}, before a plain background of color {background}.
* Images are read at {size} pixels along a side; the model was trained with {fewest} to {most} context views, and takes more.
"""


@dataclass(frozen=True)
class CardData:
    """`metrics` as in the run's metrics.json, and those of a pack that was held out, where they were measured."""

    name: str
    source: SourceConfig
    experiment: Experiment
    step: int
    parameters: int
    metrics: Mapping[str, Any] | None
    held_out: Mapping[str, Any] | None


def card_data(run: Run, name: str) -> CardData:
    parameters = sum(p.numel() for p in run.generator.parameters())
    metrics, held_out = (_read(run.folder / file) for file in ("metrics.json", "held_out.json"))
    return CardData(name, run.source, run.experiment, run.step, parameters, metrics, held_out)


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def model_card(data: CardData) -> str:
    """README.md, in markdown with the metadata that a hub reads."""
    sphere, low_high = data.source.sphere, data.experiment.train.batch.context
    cameras = "Cameras must be right (poses and focal length)"
    if not data.experiment.encoder.image.rays:
        cameras = "Images are read without cameras, of objects in their category's own frame"
    limits = LIMITS.format(
        cameras=cameras,
        center=list(sphere.center) if sphere else "the origin", radius=sphere.radius if sphere else 1.0,
        background=list(data.source.background), size=data.experiment.encoder.image.image_size, fewest=low_high[0],
        most=low_high[1],
    )  # fmt: skip
    sections = [
        f"{HEAD}# {data.name}\n",
        f"A hypernetwork of {data.parameters / 1e6:.1f} million parameters that writes a radiance field of one object from a few "
        "posed images, in one forward pass. Half precision; made by `tools/export_model.py`.\n",
        "    python tools/reconstruct.py MODEL --scene FOLDER -o out/object.field.safetensors\n",
        f"MODEL is the folder of this card, or `pretrained:{data.name}` where it came with the library.\n",
        f"## Data and budget\n\n{_data(data)}",
        f"## Figures\n\n{_figures(data.metrics)}",
    ]
    if data.held_out is not None:
        sections.append(f"Scenes of a pack of which nothing was trained on:\n\n{_figures(data.held_out)}")
    return "\n".join([*sections, f"## Limits\n\n{limits}"])


def _data(data: CardData) -> str:
    source, training = data.source, (data.metrics or {}).get("training", {})
    what = f"source `{source.name}`"
    categories = getattr(source, "categories", None)
    if categories:
        what += f" ({', '.join(categories)}; made on the fly, seed {getattr(source, 'seed', 0)})"
    scenes = f", {training['scenes']} scenes" if "scenes" in training else ""
    budget = f"{data.step} steps"
    if "minutes" in training:
        budget += f" in {training['minutes']:.0f} minutes"
    if "machine" in training:
        budget += f" ({training['machine']})"
    batch = data.experiment.train.batch
    return (
        f"* Training scenes: {what}{scenes}.\n"
        f"* Training: {budget}; {batch.scenes} scenes of {batch.rays} rays a step, seed {data.experiment.train.seed}.\n"
    )


def _figures(metrics: Mapping[str, Any] | None) -> str:
    """A table of the scores and, for comparison, of what costs nothing to guess."""
    if metrics is None:
        return NOT_MEASURED
    lines = [f"{metrics['scenes']} unseen scenes, unseen views.\n", "| | PSNR (dB) | SSIM |", "|---|---|---|"]
    rows = {f"{count} context view{'s' * (count != '1')}": scores for count, scores in metrics["context_views"].items()}
    rows |= {name.replace("_", " "): scores for name, scores in metrics["baselines"].items()}
    lines += [f"| {name} | {scores['psnr']:.2f} | {scores['ssim']:.3f} |" for name, scores in rows.items()]
    for key, value, kind in (("shape", "iou", "exact shapes"), ("mesh", "mask_iou", "masks of unseen views")):
        if key in metrics:
            part = metrics[key]
            lines.append(f"\nMeshes from {part['context_views']} views against the {kind}: IoU {part[value]:.3f}.")
    return "\n".join(lines) + "\n"
