"""Comparison sheets: context | prediction | truth, one scene a row, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from ..files import write_atomically

GAP, HEADER, GRAY = 8, 18, (90, 90, 90)


@dataclass(frozen=True)
class Row:
    """One scene: what was read, what was predicted, what is true; predictions and truths go in pairs."""

    context: Float[Tensor, "context height width 3"]
    prediction: Float[Tensor, "target height width 3"]
    target: Float[Tensor, "target height width 3"]


def comparison_sheet(rows: Sequence[Row], scale: int = 2) -> Image.Image:
    """Rows of context, then (prediction, truth) pairs; rows with fewer context views are padded with white, and of
    pairs as many are shown as every row has."""
    height, width = rows[0].target.shape[1:3]
    contexts = max(len(row.context) for row in rows)
    pairs = min(len(row.target) for row in rows)
    cell_h, cell_w = height * scale, width * scale
    sheet_w = (contexts + 2 * pairs) * cell_w + pairs * GAP
    sheet = Image.new("RGB", (sheet_w, len(rows) * (cell_h + 2) + HEADER), "white")
    for number, row in enumerate(rows):
        y = HEADER + number * (cell_h + 2)
        for column, image in enumerate(row.context):
            sheet.paste(_picture(image, scale), (column * cell_w, y))
        for pair in range(pairs):
            x = contexts * cell_w + GAP + pair * (2 * cell_w + GAP)
            sheet.paste(_picture(row.prediction[pair], scale), (x, y))
            sheet.paste(_picture(row.target[pair], scale), (x + cell_w, y))
    draw = ImageDraw.Draw(sheet)
    draw.text((3, 2), "context", fill=GRAY)
    for pair in range(pairs):
        x = contexts * cell_w + GAP + pair * (2 * cell_w + GAP)
        draw.text((x + 3, 2), "prediction", fill=GRAY)
        draw.text((x + cell_w + 3, 2), "truth", fill=GRAY)
    return sheet


def _picture(image: Float[Tensor, "height width 3"], scale: int) -> Image.Image:
    picture = Image.fromarray(to_bytes(image))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def to_bytes(image: Float[Tensor, "*batch height width 3"]) -> np.ndarray:
    """[0, 1] to 0..255, rounded."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def save_image(path: Path | str, image: Image.Image) -> None:
    """Writes a PNG, whole or not at all. Raises `InputError` when the place cannot be written to."""
    write_atomically(path, lambda place: image.save(place, format="PNG"))
