"""Lenses: where a camera's image bends straight lines, and the pinhole image that it would have been.

A direction (x, y, 1) in camera axes meets the image at (cx + fx x', cy + fy y'), where (OpenCV, and COLMAP after it)

    perspective:  x' = x g(r^2) + 2 p1 x y + p2 (r^2 + 2 x^2)       r^2 = x^2 + y^2
                  y' = y g(r^2) + p1 (r^2 + 2 y^2) + 2 p2 x y
    fisheye:      (x', y') = (x, y) / r * a g(a^2)                  a = atan(r)

    g(q) = 1 + k1 q + k2 q^2 + k3 q^3 + k4 q^4
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.types import InputError

MOST_ZOOM = 4.0  # a pinhole image that must be magnified more than this to show no pixel from outside is no image of it


@dataclass(frozen=True)
class Distortion:
    """The coefficients of one of the two models above."""

    fisheye: bool = False
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    p1: float = 0.0
    p2: float = 0.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.radial, self.p1, self.p2))):
            raise InputError("distortion coefficients must be finite")

    @property
    def radial(self) -> tuple[float, float, float, float]:
        return self.k1, self.k2, self.k3, self.k4


@dataclass(frozen=True)
class Lens:
    """Focal lengths and principal point in pixels, from the image's upper left corner; `distortion` None is a pinhole."""

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: Distortion | None = None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.values)) or min(self.fx, self.fy) <= 0:
            raise InputError("focal lengths must be positive and finite")

    @property
    def values(self) -> tuple[float, float, float, float]:
        return self.fx, self.fy, self.cx, self.cy

    def moved(self, right: float, down: float) -> Lens:
        """For an image to which so many columns were added on the left and rows at the top."""
        return replace(self, cx=self.cx + right, cy=self.cy + down)

    def scaled(self, x: float, y: float) -> Lens:
        """For an image that is so many times as wide and as high."""
        return Lens(self.fx * x, self.fy * y, self.cx * x, self.cy * y, self.distortion)


def distort(points: Float[Tensor, "*batch 2"], distortion: Distortion) -> Float[Tensor, "*batch 2"]:
    """(x', y') of directions (x, y, 1), as in the module's header."""
    x, y = points.unbind(-1)
    square = x * x + y * y
    if distortion.fisheye:
        radius = square.sqrt()
        angle = radius.atan()
        # near the axis a / r is 1
        factor = torch.where(radius > 1e-8, angle / radius.clamp_min(1e-8), torch.ones_like(radius))
        return points * (factor * _gain(angle * angle, distortion))[..., None]
    p1, p2 = distortion.p1, distortion.p2
    gain = _gain(square, distortion)
    right = x * gain + 2 * p1 * x * y + p2 * (square + 2 * x * x)
    down = y * gain + p1 * (square + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([right, down], dim=-1)


def _gain(q: Tensor, distortion: Distortion) -> Tensor:
    k1, k2, k3, k4 = distortion.radial
    return 1 + q * (k1 + q * (k2 + q * (k3 + q * k4)))


def pinhole_for(lens: Lens, height: int, width: int) -> Lens:
    """The pinhole lens to undistort an image to: the same principal point, the same focal length or, where parts of the
    pinhole image would lie outside of the real one, the least longer one for which none does.

    Raises:
        InputError: the coefficients fold the image over itself, or leave nothing of it.
    """
    assert lens.distortion is not None
    row, column = torch.arange(height + 1, dtype=torch.float64), torch.arange(width + 1, dtype=torch.float64)
    border = torch.cat(
        [torch.stack(torch.broadcast_tensors(column, edge), -1) for edge in torch.tensor([0.0, height]).double()]
        + [torch.stack(torch.broadcast_tensors(edge, row), -1) for edge in torch.tensor([0.0, width]).double()]
    )
    limit = torch.tensor([width, height], dtype=torch.float64)

    def fits(zoom: float) -> bool:
        seen = source_pixels(border, replace(lens, fx=lens.fx * zoom, fy=lens.fy * zoom), lens)
        return bool(((seen > -1e-6) & (seen < limit + 1e-6)).all())

    low, high = 1.0, MOST_ZOOM
    if fits(low):
        high = low
    elif not fits(high):
        raise InputError("distortion coefficients leave nothing of the image: check k1, k2, …")
    for _ in range(40 if high > low else 0):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    result = Lens(lens.fx * high, lens.fy * high, lens.cx, lens.cy)
    _check_unfolded(border, result, lens.distortion)
    return result


def _check_unfolded(border: Float[Tensor, "point 2"], pinhole: Lens, distortion: Distortion) -> None:
    """Raises `InputError` unless the distorted radius grows with the true one as far as the image reaches."""
    fx, fy, cx, cy = pinhole.values
    reach = float(torch.hypot((border[:, 0] - cx) / fx, (border[:, 1] - cy) / fy).max())
    radius = torch.linspace(0, reach, 256, dtype=torch.float64)
    bare = replace(distortion, p1=0.0, p2=0.0)
    if not bool((distort(torch.stack([radius, torch.zeros_like(radius)], -1), bare)[:, 0].diff() > 0).all()):
        raise InputError("distortion coefficients fold the image over itself: check k1, k2, … and camera_model")


def source_pixels(pixels: Float[Tensor, "*batch 2"], pinhole: Lens, lens: Lens) -> Float[Tensor, "*batch 2"]:
    """Where in the image of `lens` the places `pixels` (x, y from the upper left corner) of `pinhole` are seen."""
    assert lens.distortion is not None
    focal, center = pixels.new_tensor(pinhole.values[:2]), pixels.new_tensor(pinhole.values[2:])
    bent = distort((pixels - center) / focal, lens.distortion)
    return bent * pixels.new_tensor(lens.values[:2]) + pixels.new_tensor(lens.values[2:])


def undistorted(planes: Float[Tensor, "channel height width"], lens: Lens) -> tuple[Float[Tensor, "channel height width"], Lens]:
    """The image that a pinhole lens would have made, of the same size, by bilinear interpolation; and that lens."""
    height, width = planes.shape[1:]
    pinhole = pinhole_for(lens, height, width)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    seen = source_pixels(torch.stack([x, y], -1).double(), pinhole, lens)
    # grid_sample, with corners not aligned, counts from -1 to 1 between the image's outer edges
    grid = (seen / torch.tensor([width, height]).double() * 2 - 1).to(planes.dtype)
    sampled = torch.nn.functional.grid_sample(planes[None], grid[None], padding_mode="border", align_corners=False)[0]
    return sampled, pinhole
