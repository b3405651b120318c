"""Views as pictures: colors, opacity in gray, depth in false colors, or several of them side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray as Array

from ..types import RenderOutput
from .sheet import to_bytes

KINDS = ("color", "depth", "opacity")
# near to far: yellow, orange, magenta, violet, dark blue; lightness falls all the way, so it reads in gray too
SCALE = np.array([[250, 235, 120], [245, 150, 60], [205, 65, 105], [120, 35, 130], [25, 15, 80]], dtype=np.float64)


def view_picture(
    view: RenderOutput, kinds: Sequence[str], depth_range: tuple[float, float], background: tuple[float, float, float]
) -> UInt8[Array, "height width 3"]:
    """`kinds` of one view, left to right. Depth is 0 where nothing is hit, drawn as the background."""
    return np.concatenate([_picture(view, kind, depth_range, background) for kind in kinds], axis=1)


def _picture(view: RenderOutput, kind: str, depth_range: tuple[float, float], background: tuple[float, float, float]) -> Array:
    if kind == "color":
        return to_bytes(view.color)
    if kind == "opacity":
        return to_bytes(view.opacity[..., None].expand(-1, -1, 3))
    if kind != "depth":
        raise ValueError(f"{kind} is none of {', '.join(KINDS)}")
    depth = view.depth.numpy()
    colors = depth_colors(depth, depth_range)
    colors[depth == 0] = np.round(np.array(background) * 255).astype(np.uint8)
    return colors


def depth_colors(depth: Float[Array, "height width"], depth_range: tuple[float, float]) -> UInt8[Array, "height width 3"]:
    """False colors, linear between the near and the far end of `depth_range`, the ends' colors beyond."""
    near, far = depth_range
    place = np.clip((depth - near) / (far - near), 0, 1) * (len(SCALE) - 1)
    channels = [np.interp(place, np.arange(len(SCALE)), SCALE[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def deviation_colors(deviation: Float[Array, "height width"], most: float) -> UInt8[Array, "height width 3"]:
    """False colors of how uncertain colors are: dark blue where they are certain, yellow at `most` and beyond."""
    return depth_colors(deviation, (max(most, 1e-6), 0.0))
