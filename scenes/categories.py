"""Recipes of procedural objects: random chairs, cars and lamps as lists of parts. z is up, fronts look along +x."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from .shape import Paint, Part
from .solids import Ellipsoid, Frustum, Solid, box
from .solids import Prism as Tapered

Rng = np.random.Generator


def _color(rng: Rng, saturation=(0.25, 0.9), value=(0.25, 0.95)) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def _wood_or_metal(rng: Rng) -> Paint:
    if rng.random() < 0.5:
        return Paint(colorsys.hsv_to_rgb(rng.uniform(0.05, 0.1), rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.7)))
    gray = rng.uniform(0.1, 0.75)
    return Paint((gray, gray, gray * rng.uniform(0.9, 1.1)))


def _fabric(rng: Rng, axes: tuple[int, ...] = (0, 1)) -> Paint:
    """Plain, striped or checked, a third each. Patterns are wide enough to be seen at 64 x 64."""
    kind, color = rng.integers(3), _color(rng)
    if kind == 0:
        return Paint(color)
    pattern: Literal["stripes", "checks"] = "stripes" if kind == 1 else "checks"
    return Paint(color, _color(rng, (0.0, 0.8), (0.1, 1.0)), pattern, rng.uniform(0.16, 0.34), int(rng.choice(axes)))


def _turn(axis: int, angle: float) -> np.ndarray:
    """Rotation about a coordinate axis."""
    c, s = math.cos(angle), math.sin(angle)
    result = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    result[i, i], result[i, j], result[j, i], result[j, j] = c, -s, s, c
    return result


def _part(solid: Solid, paint: Paint, center, rotation: np.ndarray | None = None) -> Part:
    return Part(solid, paint, np.asarray(center, dtype=np.float64), np.eye(3) if rotation is None else rotation)


def _rod(paint: Paint, start, end, bottom: float, top: float | None = None, square: bool = False) -> Part:
    """A thin frustum or prism between two points."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(end - start))
    z = (end - start) / length
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z], axis=1)
    top = bottom if top is None else top
    solid = Tapered((bottom, bottom), (top, top), length / 2) if square else Frustum(bottom, top, length / 2)
    return _part(solid, paint, (start + end) / 2, rotation)


def chair(rng: Rng) -> list[Part]:
    """Seat, back, legs or a pedestal, sometimes arms and a cushion."""
    half_x, half_y = rng.uniform(0.38, 0.55), rng.uniform(0.38, 0.6)
    thick, height = rng.uniform(0.03, 0.1), rng.uniform(0.35, 1.0)
    frame, cover = _wood_or_metal(rng), _fabric(rng)
    parts = [_part(Tapered((half_x, half_y), (half_x, half_y * rng.uniform(0.85, 1.0)), thick), cover, (0, 0, height))]
    if rng.random() < 0.3:
        parts.append(_part(box(half_x * 0.85, half_y * 0.85, 0.05), _fabric(rng), (0.02, 0, height + thick + 0.04)))
    parts += _pedestal(rng, frame, height, half_x) if rng.random() < 0.25 else _legs(rng, frame, height, half_x, half_y)
    parts += _back(rng, frame, cover, half_x, half_y, height)
    if rng.random() < 0.4:
        arm, wide = rng.uniform(0.2, 0.4), rng.uniform(0.03, 0.08)
        for side in (-1, 1):
            y = side * (half_y - wide / 2)
            parts.append(_part(box(half_x * 0.9, wide, 0.035), frame, (0, y, height + arm)))
            if rng.random() < 0.5 or wide < 0.05:
                parts.append(_rod(frame, (half_x * 0.8, y, height), (half_x * 0.8, y, height + arm), 0.035, square=True))
            else:
                parts.append(_part(box(half_x * 0.9, wide * 0.7, arm / 2), cover, (0, y, height + arm / 2)))
    return parts


def _legs(rng: Rng, paint: Paint, height: float, half_x: float, half_y: float) -> list[Part]:
    splay, thick, square = rng.uniform(0.0, 0.18), rng.uniform(0.03, 0.07), bool(rng.random() < 0.5)
    parts, feet = [], {}
    for sx in (-1, 1):
        for sy in (-1, 1):
            top = np.array([sx * (half_x - thick), sy * (half_y - thick), height])
            foot = np.array([top[0] + sx * splay, top[1] + sy * splay, 0.0])
            feet[sx, sy] = top, foot
            parts.append(_rod(paint, foot, top, thick * rng.uniform(0.7, 1.0), thick, square))
    if rng.random() < 0.35:  # rails between the legs
        share = rng.uniform(0.2, 0.6)
        at = {key: foot + share * (top - foot) for key, (top, foot) in feet.items()}
        for pair in (((-1, -1), (1, -1)), ((-1, 1), (1, 1)), ((-1, -1), (-1, 1))):
            parts.append(_rod(paint, at[pair[0]], at[pair[1]], thick * 0.6))
    return parts


def _pedestal(rng: Rng, paint: Paint, height: float, half_x: float) -> list[Part]:
    spread = half_x * rng.uniform(0.8, 1.1)
    parts = [_rod(paint, (0, 0, 0.06), (0, 0, height), rng.uniform(0.05, 0.08))]
    if rng.random() < 0.5:
        parts.append(_part(Frustum(spread, 0.1, 0.05), paint, (0, 0, 0.05)))
        return parts
    for i in range(5):
        angle = 2 * math.pi * i / 5
        parts.append(_rod(paint, (0, 0, 0.1), (spread * math.cos(angle), spread * math.sin(angle), 0.05), 0.06, 0.04))
    return parts


def _back(rng: Rng, frame: Paint, cover: Paint, half_x: float, half_y: float, height: float) -> list[Part]:
    """A panel, upright slats or rungs, leaning back a little."""
    tall, thick, tilt = rng.uniform(0.45, 1.1), rng.uniform(0.03, 0.07), rng.uniform(0.0, 0.3)
    turn = _turn(1, -tilt)
    foot = np.array([-half_x + thick, 0.0, height])

    def place(y: float, z: float) -> np.ndarray:
        return foot + turn @ np.array([0.0, y, z])

    kind = rng.choice(["panel", "slats", "rungs", "open"])
    if kind == "panel":
        paint = cover if rng.random() < 0.6 else _fabric(rng, (1, 2))
        wide = half_y * rng.uniform(0.75, 1.0)
        return [_part(Tapered((thick, half_y * 0.95), (thick * 0.7, wide), tall / 2), paint, place(0, tall / 2), turn)]
    edge = half_y - thick
    parts = [_rod(frame, place(side * edge, 0), place(side * edge, tall), thick, square=True) for side in (-1, 1)]
    if kind == "slats":
        parts.append(_part(box(thick, half_y, 0.08), frame, place(0, tall - 0.08), turn))
        for y in np.linspace(-edge, edge, int(rng.integers(3, 6)) + 2)[1:-1]:
            parts.append(_part(box(thick * 0.5, 0.05, tall / 2), frame, place(float(y), tall / 2), turn))
    elif kind == "rungs":
        count = int(rng.integers(2, 5))
        for z in np.linspace(tall * 0.3, tall - 0.07, count):
            parts.append(_part(box(thick * 0.6, half_y, 0.07), frame, place(0, float(z)), turn))
    else:
        low = tall * rng.uniform(0.35, 0.55)
        paint = cover if rng.random() < 0.6 else _fabric(rng, (1, 2))
        parts.append(_part(box(thick * 0.8, half_y, (tall - low) / 2), paint, place(0, (tall + low) / 2), turn))
    return parts


def car(rng: Rng) -> list[Part]:
    """Body, cabin with dark windows, four wheels; saloon, hatchback, van or pickup."""
    long, wide = rng.uniform(0.8, 1.1), rng.uniform(0.36, 0.46)
    wheel, belt = rng.uniform(0.13, 0.2), rng.uniform(0.16, 0.24)
    paint = Paint(_color(rng, (0.0, 0.95), (0.2, 0.98)))
    if rng.random() < 0.35:
        paint = Paint(paint.color, _color(rng, (0.0, 0.8)), "stripes", rng.uniform(0.14, 0.3), int(rng.choice([0, 1])))
    middle = wheel + belt / 2 + 0.05
    body = Tapered((long, wide), (long * rng.uniform(0.93, 1.0), wide * 0.95), belt, shift=rng.uniform(-0.03, 0.03))
    parts = [_part(body, paint, (0, 0, middle))]
    kind = rng.choice(["saloon", "hatchback", "van", "pickup"])
    length = {"saloon": 0.55, "hatchback": 0.68, "van": 0.8, "pickup": 0.35}[kind] * long * rng.uniform(0.9, 1.1)
    place = {"saloon": -0.05, "hatchback": -0.25, "van": -0.12, "pickup": 0.12}[kind] * long
    tall = rng.uniform(0.28, 0.42) if kind == "van" else rng.uniform(0.17, 0.26)
    taper = {"saloon": 0.62, "hatchback": 0.75, "van": 0.88, "pickup": 0.7}[kind]
    roof_z, glass = middle + belt + tall * 2, Paint((0.08, 0.1, 0.14))
    cabin = Tapered((length, wide * 0.92), (length * taper, wide * 0.78), tall, shift=-0.08 * length)
    parts.append(_part(cabin, glass, (place, 0, middle + belt + tall)))
    roof = paint if rng.random() < 0.7 else Paint(_color(rng))
    parts.append(_part(box(length * taper, wide * 0.78, 0.025), roof, (place - 0.08 * length, 0, roof_z)))
    if kind == "van":  # closed sides at the back
        back = box(length * 0.35, wide * 0.9, tall)
        parts.append(_part(back, paint, (place - length * 0.55, 0, middle + belt + tall)))
    if kind == "pickup":
        for side in (-1, 1):
            rail = box(long * 0.4, 0.04, 0.08)
            parts.append(_part(rail, paint, (-long * 0.55, side * wide * 0.88, middle + belt + 0.06)))
    return parts + _car_details(rng, long, wide, wheel, middle)


def _car_details(rng: Rng, long: float, wide: float, wheel: float, middle: float) -> list[Part]:
    tyre, hub = Paint((0.06, 0.06, 0.06)), Paint((rng.uniform(0.4, 0.85),) * 3)
    axle = long * rng.uniform(0.56, 0.66)
    parts, sideways = [], _turn(0, math.pi / 2)
    for x in (-axle, axle):
        for side in (-1, 1):
            parts.append(_part(Frustum(wheel, wheel, 0.07), tyre, (x, side * wide * 0.95, wheel), sideways))
            parts.append(_part(Frustum(wheel * 0.55, wheel * 0.55, 0.08), hub, (x, side * wide * 0.96, wheel), sideways))
    for side in (-1, 1):
        lamp = Ellipsoid((0.04, 0.08, 0.05))
        parts.append(_part(lamp, Paint((0.98, 0.95, 0.75)), (long * 0.98, side * wide * 0.65, middle + 0.05)))
        parts.append(_part(lamp, Paint((0.75, 0.05, 0.05)), (-long * 0.98, side * wide * 0.65, middle + 0.05)))
    return parts


def lamp(rng: Rng) -> list[Part]:
    """A foot, a straight or bent stem, and a shade."""
    metal, foot = _wood_or_metal(rng), rng.uniform(0.25, 0.45)
    thick, tall = rng.uniform(0.03, 0.06), rng.uniform(0.8, 1.7)
    kind = rng.choice(["disc", "cone", "ball", "block"])
    base: dict[str, tuple[Solid, float]] = {
        "disc": (Frustum(foot, foot * 0.95, 0.04), 0.04),
        "cone": (Frustum(foot, 0.08, 0.14), 0.14),
        "ball": (Ellipsoid((foot * 0.7, foot * 0.7, foot * 0.6)), foot * 0.6),
        "block": (box(foot * 0.75, foot * 0.75, 0.09), 0.09),
    }
    solid, half = base[kind]
    parts = [_part(solid, metal if rng.random() < 0.5 else _fabric(rng, (2, 0)), (0, 0, half))]
    if rng.random() < 0.55:
        head = np.array([0.0, 0.0, tall])
        parts.append(_rod(metal, (0, 0, half), head, thick))
        hang = _turn(1, 0.0)
    else:  # two arms, as of a desk lamp
        knee = np.array([-rng.uniform(0.15, 0.5), 0.0, tall * rng.uniform(0.45, 0.65)])
        head = knee + np.array([rng.uniform(0.45, 0.9), 0.0, rng.uniform(0.1, 0.5)])
        parts += [_rod(metal, (0, 0, half), knee, thick), _rod(metal, knee, head, thick)]
        parts.append(_part(Ellipsoid((thick * 1.6,) * 3), metal, knee))
        hang = _turn(1, rng.uniform(-0.5, 0.3))
    wide, drop = rng.uniform(0.3, 0.6), rng.uniform(0.18, 0.36)
    shades: list[Solid] = [
        Frustum(wide, wide * rng.uniform(0.35, 0.8), drop), Frustum(wide, wide, drop),
        Ellipsoid((wide, wide, drop)), Tapered((wide * 0.8, wide * 0.8), (wide * 0.5, wide * 0.5), drop),
        ]  # fmt: skip
    shade = shades[int(rng.integers(4))]
    return [*parts, _part(shade, _fabric(rng, (2,) if rng.random() < 0.7 else (0, 1)), head, hang)]


CATEGORIES: dict[str, Callable[[Rng], list[Part]]] = {"chairs": chair, "cars": car, "lamps": lamp}
