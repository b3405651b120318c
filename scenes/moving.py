"""Procedural objects that move: cars whose wheels turn, lamps whose arm swings. Time runs from 0 to 1, and then again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .categories import _turn
from .shape import Paint, Part, Shape

TIMES = 6  # of a scene, evenly from 0; its views take turns
SWING, TILT = 1.0, 0.45  # radians to either side: of an upper arm about the upright, of a straight stem about its foot
MOVING = ("cars", "lamps")


def shapes_in_time(category: str, parts: Sequence[Part], times: Sequence[float]) -> list[Shape]:
    """The object at each time; all moved and scaled together, so that every one fits in the unit sphere."""
    posed = [_posed(category, parts, time) for time in times]
    fitted = Shape.fitted([part for pose in posed for part in pose]).parts
    return [Shape(fitted[i * len(parts) : (i + 1) * len(parts)]) for i in range(len(posed))]


def _posed(category: str, parts: Sequence[Part], time: float) -> list[Part]:
    return (_rolling if category == "cars" else _swinging)(parts, time)


def _rolling(parts: Sequence[Part], time: float) -> list[Part]:
    """Wheels in two colors, so that their turning is seen; a quarter turn is the next wheel's place, so they go half around."""
    result = list(parts)
    for number in range(len(parts) - 12, len(parts) - 4):  # four tyres and hubs, before the four lights
        part = parts[number]
        paint = Paint((0.06, 0.06, 0.06), (0.9, 0.9, 0.85), "stripes", 1.0, 0)
        result[number] = replace(part, rotation=part.rotation @ _turn(2, math.pi * (2 * time)), paint=paint)
    return result


def _swinging(parts: Sequence[Part], time: float) -> list[Part]:
    """The parts beyond the knee about the upright through it; of lamps without one, all beyond the foot, to one side."""
    phase = math.sin(2 * math.pi * time)
    bent = len(parts) == 5  # foot, lower arm, upper arm, knee, shade
    turn = _turn(2, SWING * phase) if bent else _turn(0, TILT * phase)
    pivot = parts[3].center if bent else np.zeros(3)
    moving = (2, 4) if bent else range(1, len(parts))
    return [_about(part, pivot, turn) if number in moving else part for number, part in enumerate(parts)]


def _about(part: Part, pivot: np.ndarray, turn: np.ndarray) -> Part:
    return replace(part, center=pivot + turn @ (part.center - pivot), rotation=turn @ part.rotation)
