"""A few scenes, large: what was read, and beside the truth what was made of it, from near what was read to far behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from ..types import Cameras
from .sheet import to_bytes

LEAST = 192  # pixels along a side of an image, at least
GAP, TITLE, LINE, GRAY = 10, 22, 16, (90, 90, 90)


@dataclass(frozen=True)
class Column:
    """Images of the target views, and what they are."""

    title: str
    images: Float[Tensor, "target height width 3"]


@dataclass(frozen=True)
class Closeup:
    """One scene. `captions` says something of each target view; the last of `columns` is the truth."""

    name: str
    context: Float[Tensor, "context height width 3"]
    columns: tuple[Column, ...]
    captions: tuple[str, ...]


def angles_to_context(cameras: Cameras, context: Sequence[int], targets: Sequence[int]) -> Float[Tensor, " target"]:
    """Degrees between the direction from which each target view looks and that of the context view nearest to it."""
    axes = torch.nn.functional.normalize(cameras.camera_to_world[..., :3, 2], dim=-1)
    cosines = (axes[list(targets)] @ axes[list(context)].T).amax(dim=1)
    return torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))


def spread_targets(angles: Float[Tensor, " target"], count: int) -> list[int]:
    """Indices of `count` target views (or all, where there are fewer), evenly from the least angle to the greatest."""
    order = angles.argsort(stable=True).tolist()
    count = min(count, len(order))
    return [order[round(i * (len(order) - 1) / max(count - 1, 1))] for i in range(count)]


def closeup_sheet(closeups: Sequence[Closeup]) -> Image.Image:
    """A block a scene: row by row a context view, then a target view as each column has it, at least 192 pixels an image."""
    height, width = closeups[0].context.shape[1:3]
    scale = math.ceil(LEAST / min(height, width))
    cell_w, cell_h = width * scale, height * scale
    columns = max(len(closeup.columns) for closeup in closeups)
    blocks = [max(len(closeup.context), len(closeup.captions)) for closeup in closeups]
    block_heights = [TITLE + rows * (cell_h + LINE) + GAP for rows in blocks]
    sheet = Image.new("RGB", ((columns + 1) * (cell_w + GAP) - GAP, sum(block_heights)), "white")
    top = 0
    for closeup, block_height in zip(closeups, block_heights, strict=True):
        _draw_block(sheet, closeup, top, cell_w, cell_h)
        top += block_height
    return sheet


def _draw_block(sheet: Image.Image, closeup: Closeup, top: int, cell_w: int, cell_h: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((3, top + 5), _fitting(draw, closeup.name.rsplit("/", 1)[-1], ": read", cell_w - 3), fill=GRAY)
    truth = closeup.columns[-1].images
    for number, column in enumerate(closeup.columns, start=1):
        draw.text((number * (cell_w + GAP) + 3, top + 5), column.title, fill=GRAY)
    for row in range(max(len(closeup.context), len(closeup.captions))):
        y = top + TITLE + row * (cell_h + LINE)
        if row < len(closeup.context):
            sheet.paste(_picture(closeup.context[row], cell_w, cell_h), (0, y))
        if row >= len(closeup.captions):
            continue
        for number, column in enumerate(closeup.columns, start=1):
            x = number * (cell_w + GAP)
            sheet.paste(_picture(column.images[row], cell_w, cell_h), (x, y))
            caption = (
                closeup.captions[row] if column is closeup.columns[-1] else f"{_psnr(column.images[row], truth[row]):.1f} dB"
            )
            draw.text((x + 3, y + cell_h + 1), caption, fill=GRAY)


def _fitting(draw: ImageDraw.ImageDraw, name: str, after: str, width: float) -> str:
    """`name` and what comes after it, the name shortened to fit."""
    text, kept = name + after, len(name)
    while kept and draw.textlength(text) > width:
        kept -= 1
        text = f"{name[:kept]}…{after}"
    return text


def _psnr(image: Tensor, truth: Tensor) -> float:
    return -10 * math.log10(max(float((image.clamp(0, 1) - truth).square().mean()), 1e-10))


def _picture(image: Float[Tensor, "height width 3"], width: int, height: int) -> Image.Image:
    return Image.fromarray(to_bytes(image)).resize((width, height), Image.Resampling.NEAREST)
