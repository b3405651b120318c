"""How large the next picture of a view should be: coarse while something moves, sharper and sharper at rest, then nothing.

Pure functions of what was measured; `draw.py` owns the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST = 96  # pixels, before any picture has shown how fast this machine is
GRAIN = 8  # sizes are multiples of it, so that they do not flicker with every measurement
NEARLY = 1.5  # a picture this much smaller than the sharpest is not worth its time: draw the sharpest


@dataclass(frozen=True)
class Pace:
    """`moving` is what a picture may take while the camera moves; after `rest` without a move a view counts as resting."""

    moving: float = 0.12  # seconds
    rest: float = 0.25  # seconds
    coarsest: int = 48  # pixels along the longer side, however slow the machine


@dataclass(frozen=True)
class Drawn:
    """A picture that was drawn: pixels along its longer side, and the seconds it took."""

    size: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What to do next: draw at `size` if it is not 0; else wait for `wait` seconds; neither: all is drawn."""

    size: int = 0
    wait: float = 0.0


def next_picture(since_move: float, shown: int, limit: int, last: Drawn | None, pace: Pace = Pace()) -> Plan:
    """What to draw next of one view.

    Args:
        since_move: seconds since the view last changed.
        shown: size of the picture that is shown of this very view; 0: none yet.
        limit: size of the sharpest picture that is wanted.
        last: the last picture that was drawn of any view, which tells how fast this machine is.
    """
    if shown >= limit:
        return Plan()
    if shown == 0:
        return Plan(size=moving_size(limit, last, pace))
    if since_move < pace.rest:
        return Plan(wait=pace.rest - since_move)
    return Plan(size=limit if 2 * shown * NEARLY > limit else 2 * shown)


def moving_size(limit: int, last: Drawn | None, pace: Pace = Pace()) -> int:
    """The largest size, up to `limit`, of a picture that takes `pace.moving` seconds: time goes with the number of pixels."""
    if last is None:
        return min(FIRST, limit)
    wanted = last.size * math.sqrt(pace.moving / max(last.seconds, 1e-4))
    return min(max(pace.coarsest, math.floor(wanted / GRAIN) * GRAIN), limit)
