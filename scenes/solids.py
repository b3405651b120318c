"""Convex solids with exact ray intervals: what procedural objects are made of. All in NumPy, in the solid's own frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray as Array

# (near, far): the part of a line o + t d inside the solid; near > far where it misses
Interval = tuple[Float[Array, " ray"], Float[Array, " ray"]]


class Solid(Protocol):
    """A convex body about the origin."""

    def interval(self, origins: Float[Array, "ray 3"], directions: Float[Array, "ray 3"]) -> Interval: ...

    def inside(self, points: Float[Array, "point 3"]) -> Bool[Array, " point"]: ...

    def normals(self, points: Float[Array, "point 3"]) -> Float[Array, "point 3"]:
        """Outward unit normals at points of the surface."""
        ...

    def hull(self) -> Float[Array, "corner 3"]:
        """Points whose convex hull contains the solid."""
        ...


@dataclass(frozen=True)
class Prism:
    """A box whose top (z = +half) may be smaller or larger than its bottom, and shifted along x: half sizes throughout."""

    bottom: tuple[float, float]
    top: tuple[float, float]
    half_height: float
    shift: float = 0.0  # of the top's center along x

    def _planes(self) -> tuple[Float[Array, "6 3"], Float[Array, " 6"]]:
        """n . x <= d for the six faces, n of length 1."""
        (bx, by), (tx, ty), h, s = self.bottom, self.top, self.half_height, self.shift
        middle_x, slope_front, slope_back = (bx + tx) / 2, (tx - bx + s) / (2 * h), (tx - bx - s) / (2 * h)
        slope_side = (ty - by) / (2 * h)
        rows = [
            (1, 0, -slope_front, middle_x + s / 2), (-1, 0, -slope_back, middle_x - s / 2),
            (0, 1, -slope_side, (by + ty) / 2), (0, -1, -slope_side, (by + ty) / 2),
            (0, 0, 1, h), (0, 0, -1, h),
        ]  # fmt: skip
        planes = np.array(rows, dtype=np.float32)
        planes /= np.linalg.norm(planes[:, :3], axis=1, keepdims=True)
        return planes[:, :3], planes[:, 3]

    def interval(self, origins, directions):
        normals, limits = self._planes()
        room, speed = limits[:, None] - normals @ origins.T, normals @ directions.T  # [face, ray]: rows reduce fast
        speed[np.abs(speed) < 1e-9] = 1e-9
        crossing = room / speed
        enters = speed < 0
        near = np.where(enters, crossing, np.float32(-np.inf)).max(axis=0)
        far = np.where(enters, np.float32(np.inf), crossing).min(axis=0)
        return near, far

    def inside(self, points):
        normals, limits = self._planes()
        return (points @ normals.T <= limits).all(axis=1)

    def normals(self, points):
        normals, limits = self._planes()
        return normals[(points @ normals.T - limits).argmax(axis=1)]

    def hull(self):
        (bx, by), (tx, ty), h, s = self.bottom, self.top, self.half_height, self.shift
        signs = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
        return np.array([(x * bx, y * by, -h) for x, y in signs] + [(x * tx + s, y * ty, h) for x, y in signs])


def box(x: float, y: float, z: float) -> Prism:
    """A box of half sizes x, y, z."""
    return Prism((x, y), (x, y), z)


@dataclass(frozen=True)
class Frustum:
    """A capped cone about z: radius `bottom` at z = -half_height, `top` at +half_height. A cylinder if they are equal."""

    bottom: float
    top: float
    half_height: float

    def _radius(self, z):
        middle, slope = (self.bottom + self.top) / 2, (self.top - self.bottom) / (2 * self.half_height)
        return middle + slope * z, slope

    def interval(self, origins, directions):
        o, d = origins, directions
        radius, slope = self._radius(o[:, 2])
        dz = np.where(np.abs(d[:, 2]) < 1e-9, np.float32(1e-9), d[:, 2])
        low, high = (-self.half_height - o[:, 2]) / dz, (self.half_height - o[:, 2]) / dz
        near, far = np.minimum(low, high), np.maximum(low, high)
        # on the cone (x^2 + y^2 <= radius(z)^2): a t^2 + 2 b t + c <= 0
        a = d[:, 0] ** 2 + d[:, 1] ** 2 - (slope * d[:, 2]) ** 2
        b = o[:, 0] * d[:, 0] + o[:, 1] * d[:, 1] - slope * d[:, 2] * radius
        c = o[:, 0] ** 2 + o[:, 1] ** 2 - radius**2
        a = np.where(np.abs(a) < 1e-9, np.float32(1e-9), a)
        square = b * b - a * c
        root = np.sqrt(np.maximum(square, 0))
        first, second = (-b - root) / a, (-b + root) / a
        first, second = np.minimum(first, second), np.maximum(first, second)
        # flat lines (a > 0) are inside between the roots. Steep ones are outside between them: before the first or after
        # the second, whichever lies between the caps, where the cone has but one nappe
        early = np.minimum(far, first) > near
        inside_near = np.where(a > 0, np.maximum(near, first), np.where(early, near, np.maximum(near, second)))
        inside_far = np.where(a > 0, np.minimum(far, second), np.where(early, np.minimum(far, first), far))
        miss = (square < 0) & (a > 0)
        return np.where(miss, np.float32(np.inf), inside_near), np.where(miss, np.float32(-np.inf), inside_far)

    def inside(self, points):
        radius, _ = self._radius(points[:, 2])
        return (np.abs(points[:, 2]) <= self.half_height) & (points[:, 0] ** 2 + points[:, 1] ** 2 <= radius**2)

    def normals(self, points):
        radius, slope = self._radius(points[:, 2])
        across = np.hypot(points[:, 0], points[:, 1])
        side = np.stack([points[:, 0], points[:, 1], -slope * across], axis=1)
        side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
        cap = np.zeros_like(points)
        cap[:, 2] = np.sign(points[:, 2])
        on_cap = np.abs(points[:, 2]) - self.half_height > (across - radius) / np.hypot(1, slope)
        return np.where(on_cap[:, None], cap, side)

    def hull(self):
        corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
        ends = ((self.bottom, -self.half_height), (self.top, self.half_height))
        return np.array([(x * radius, y * radius, z) for radius, z in ends for x, y in corners])


@dataclass(frozen=True)
class Ellipsoid:
    """(x/a)^2 + (y/b)^2 + (z/c)^2 <= 1."""

    radii: tuple[float, float, float]

    def interval(self, origins, directions):
        scale = 1 / np.array(self.radii, dtype=origins.dtype)
        o, d = origins * scale, directions * scale
        a, b = (d * d).sum(1), (o * d).sum(1)
        closest = o - (b / a)[:, None] * d
        square = (1 - (closest * closest).sum(1)) / a
        half = np.sqrt(np.maximum(square, 0))
        miss = square < 0
        return np.where(miss, np.float32(np.inf), -b / a - half), np.where(miss, np.float32(-np.inf), -b / a + half)

    def inside(self, points):
        return ((points / np.array(self.radii, dtype=points.dtype)) ** 2).sum(1) <= 1

    def normals(self, points):
        gradient = points / np.array(self.radii, dtype=points.dtype) ** 2
        return gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-9)

    def hull(self):
        a, b, c = self.radii
        return np.array([(x * a, y * b, z * c) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
