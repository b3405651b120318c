"""An object as a union of colored convex parts: ray casting, an exact inside test, points of its surface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray as Array

from .solids import Solid

LIGHT = np.array([0.45, -0.35, 0.82], dtype=np.float32)  # towards the light; z is up
AMBIENT = 0.55


@dataclass(frozen=True)
class Paint:
    """A color, or two in stripes or checks of a given width in the part's own frame."""

    color: tuple[float, float, float]
    second: tuple[float, float, float] | None = None
    pattern: Literal["stripes", "checks"] = "stripes"
    width: float = 0.15
    axis: int = 0  # along which stripes follow each other; checks use it and the next

    def at(self, points: Float[Array, "point 3"]) -> Float[Array, "point 3"]:
        first = np.array(self.color, dtype=np.float32)
        if self.second is None:
            return np.broadcast_to(first, points.shape)
        cell = np.floor(points[:, self.axis] / self.width)
        if self.pattern == "checks":
            cell = cell + np.floor(points[:, (self.axis + 1) % 3] / self.width)
        odd = (cell.astype(np.int64) % 2 == 1)[:, None]
        return np.where(odd, np.array(self.second, dtype=np.float32), first)


@dataclass(frozen=True)
class Part:
    """A solid in the object: point = center + rotation @ local * scale."""

    solid: Solid
    paint: Paint
    center: Float[Array, " 3"]
    rotation: Float[Array, "3 3"]
    scale: float = 1.0

    def local(self, points: Float[Array, "point 3"]) -> Float[Array, "point 3"]:
        rotation = (self.rotation / self.scale).astype(np.float32)
        return (points.astype(np.float32, copy=False) - self.center.astype(np.float32)) @ rotation

    def hull(self) -> Float[Array, "corner 3"]:
        return self.center + self.solid.hull() * self.scale @ self.rotation.T

    def interval(self, origins, directions):
        return self.solid.interval(self.local(origins), directions @ (self.rotation / self.scale).astype(np.float32))


@dataclass(frozen=True)
class RayHits:
    """What rays see first: depth along the ray (0 where they miss), the color there, and whether there is anything."""

    depth: Float[Array, " ray"]
    color: Float[Array, "ray 3"]
    mask: Bool[Array, " ray"]


@dataclass(frozen=True)
class Shape:
    """The union of its parts."""

    parts: tuple[Part, ...]

    @staticmethod
    def fitted(parts: Iterable[Part], radius: float = 0.95) -> Shape:
        """The parts moved and scaled together, so that all fit in the sphere of `radius` about the origin."""
        parts = list(parts)
        corners = np.concatenate([part.hull() for part in parts])
        center = (corners.min(0) + corners.max(0)) / 2
        scale = radius / np.linalg.norm(corners - center, axis=1).max()
        return Shape(tuple(replace(p, center=(p.center - center) * scale, scale=p.scale * scale) for p in parts))

    def occupancy(self, points: Float[Array, "point 3"]) -> Bool[Array, " point"]:
        """Whether each point is inside the object. Exact."""
        inside = np.zeros(len(points), dtype=bool)
        for part in self.parts:
            inside |= part.solid.inside(part.local(points))
        return inside

    def cast(self, origins: Float[Array, "ray 3"], directions: Float[Array, "ray 3"]) -> RayHits:
        """The first hit of each ray (unit directions), in lambertian light from one side; black where nothing is hit."""
        depth = np.full(len(origins), np.inf, dtype=np.float32)
        owner = np.full(len(origins), -1)
        may_hit = self._may_hit(origins, directions)
        for number, (part, near_rays) in enumerate(zip(self.parts, may_hit, strict=True)):
            near, far = part.interval(origins[near_rays], directions[near_rays])
            better = (near <= far) & (near > 0) & (near < depth[near_rays])
            chosen = near_rays[better]
            depth[chosen], owner[chosen] = near[better], number
        color = np.zeros((len(origins), 3), dtype=np.float32)
        for number, (part, near_rays) in enumerate(zip(self.parts, may_hit, strict=True)):
            seen = near_rays[owner[near_rays] == number]
            local = part.local(origins[seen] + depth[seen, None] * directions[seen])
            normals = part.solid.normals(local) @ part.rotation.T
            light = AMBIENT + (1 - AMBIENT) * np.maximum(normals @ LIGHT, 0)
            color[seen] = part.paint.at(local) * light[:, None].astype(np.float32)
        mask = owner >= 0
        return RayHits(np.where(mask, depth, 0), np.clip(color, 0, 1), mask)

    def _may_hit(self, origins: Array, directions: Array) -> list[Array]:
        """For each part the indices of the rays through its bounding sphere: most parts are small in most images.

        The squared distance of a ray from c is |c - o|^2 - ((c - o) . d)^2; for all parts at once it is two matrix products.
        """
        corners = [part.hull() for part in self.parts]
        centers = np.stack([(c.min(0) + c.max(0)) / 2 for c in corners])
        radii = np.array([np.linalg.norm(c - center, axis=1).max() for c, center in zip(corners, centers, strict=True)])
        centers = centers.astype(np.float32)
        along = centers @ directions.T - np.einsum("rc,rc->r", origins, directions)
        gap = (centers * centers).sum(1)[:, None] - 2 * (centers @ origins.T) + np.einsum("rc,rc->r", origins, origins)
        gap -= along * along
        bound = ((radii + 1e-3) ** 2).astype(np.float32)  # and a little for rounding
        return [np.flatnonzero(row <= limit) for row, limit in zip(gap, bound, strict=True)]

    def surface_points(self, count: int, rng: np.random.Generator) -> Float[Array, "count 3"]:
        """Points uniform over the surface of the union.

        Random lines of a uniform, isotropic measure cross every piece of surface in proportion to its area (the Cauchy-
        Crofton formula), so the places where such lines enter and leave the union are uniform on its surface.
        """
        found: list[Array] = []
        total = 0
        while total < count:
            directions = rng.normal(size=(4 * count, 3))
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            # a point uniform in the disc of radius 1 perpendicular to the direction
            offset = rng.normal(size=directions.shape)
            offset -= (offset * directions).sum(1, keepdims=True) * directions
            offset *= np.sqrt(rng.random((len(offset), 1))) / np.linalg.norm(offset, axis=1, keepdims=True)
            ends = self._boundaries(offset.astype(np.float32), directions.astype(np.float32))
            found.append(ends)
            total += len(ends)
        points = np.concatenate(found)
        return points[rng.permutation(len(points))[:count]]

    def _boundaries(self, origins, directions) -> Float[Array, "point 3"]:
        """Where lines enter or leave the union: ends of one part's interval that no other part's interval covers."""
        intervals = [part.interval(origins, directions) for part in self.parts]
        result = []
        for number, (near, far) in enumerate(intervals):
            hit = near <= far
            for end in (near, far):
                covered = np.zeros(len(end), dtype=bool)
                for other, (low, high) in enumerate(intervals):
                    # of two ends that coincide, the earlier part's counts
                    slack = 1e-6 if other < number else -1e-6
                    covered |= (other != number) & (low - slack < end) & (end < high + slack)
                keep = hit & ~covered
                result.append(origins[keep] + end[keep, None] * directions[keep])
        return np.concatenate(result)
