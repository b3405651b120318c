"""Which pixels of its target views a scene is trained on, and how much each of them counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class DrawnPixels:
    """Flat pixel numbers of one view, and their importance: f * importance has the mean that f has over the image."""

    pixels: Int[np.ndarray, ray]
    importance: Float[np.ndarray, ray]


def draw_pixels(
    inside: Bool[np.ndarray, pixel] | None, pixels: int, count: int, foreground: float, rng: np.random.Generator
) -> DrawnPixels:
    """`count` of an image's `pixels`: a share `foreground` of them on the object, where it is known, the rest anywhere.

    Importance is 1 / (pixels * density), where density is that of the whole sample (the balance heuristic: Veach & Guibas 1995),
    so that a loss's expectation is that over all pixels alike: a field that is unsure whether a ray meets the object would else
    be paid for saying that it does. Its mean is 1 in expectation. With `foreground` 1, background never counts.

    Args:
        inside: pixels on the object; None: not known.
    """
    drawn = rng.integers(0, pixels, count)
    within = np.flatnonzero(inside) if inside is not None else drawn[:0]
    share = round(count * foreground) if len(within) else 0
    if not share:
        return DrawnPixels(drawn, np.ones(count, np.float32))
    drawn[:share] = rng.choice(within, share)
    density = np.full(count, (count - share) / count / pixels)
    density[inside[drawn]] += share / count / len(within)  # type: ignore[index]
    return DrawnPixels(drawn, (1 / (pixels * density)).astype(np.float32))
