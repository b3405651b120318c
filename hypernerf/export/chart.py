"""Line charts as pictures, drawn without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

COLORS = ((31, 99, 181), (214, 94, 0), (0, 130, 90), (180, 50, 120), (110, 110, 110), (150, 110, 0))
LEFT, TOP, RIGHT, BOTTOM = 64, 34, 20, 46  # pixels around the plot
Line = Sequence[tuple[float, float]]


def line_chart(
    lines: Mapping[str, Line],
    x_name: str,
    y_name: str,
    log_x: bool = False,
    log_y: bool = False,
    size: tuple[int, int] = (640, 420),
) -> Image.Image:
    """Named lines of (x, y) points, with a legend. Axes span the points; logarithmic ones need positive values."""
    points = [point for line in lines.values() for point in line]
    x_axis = _Axis([x for x, _ in points], (LEFT, size[0] - RIGHT), log_x)
    y_axis = _Axis([y for _, y in points], (size[1] - BOTTOM, TOP), log_y)
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for value in x_axis.ticks():
        x = x_axis.place(value)
        draw.line([(x, TOP), (x, size[1] - BOTTOM)], fill=(228, 228, 228))
        draw.text((x, size[1] - BOTTOM + 6), _label(value), fill="black", font=font, anchor="ma")
    for value in y_axis.ticks():
        y = y_axis.place(value)
        draw.line([(LEFT, y), (size[0] - RIGHT, y)], fill=(228, 228, 228))
        draw.text((LEFT - 6, y), _label(value), fill="black", font=font, anchor="rm")
    draw.text(((LEFT + size[0] - RIGHT) / 2, size[1] - 6), x_name, fill="black", font=font, anchor="md")
    draw.text((6, 6), y_name, fill="black", font=font)
    right: float = size[0] - RIGHT
    for (name, line), color in reversed(list(zip(lines.items(), _colors(len(lines)), strict=True))):
        placed = [(x_axis.place(x), y_axis.place(y)) for x, y in sorted(line)]
        draw.line(placed, fill=color, width=2)
        for x, y in placed:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
        draw.text((right, 6), name, fill=color, font=font, anchor="ra")
        right -= draw.textlength(name, font=font) + 14
    return picture


class _Axis:
    """Values to pixels from `ends[0]` to `ends[1]`, with some room at both."""

    def __init__(self, values: Sequence[float], ends: tuple[float, float], log: bool) -> None:
        scaled = [math.log10(value) if log else value for value in values]
        low, high = min(scaled), max(scaled)
        room = 0.06 * (high - low) or 0.5
        self.low, self.high, self.ends, self.log = low - room, high + room, ends, log

    def place(self, value: float) -> float:
        share = ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)
        return self.ends[0] + share * (self.ends[1] - self.ends[0])

    def ticks(self) -> list[float]:
        """Round values within the axis: powers of ten and, where there is room, 2 and 5 times them."""
        if self.log:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            digits = (1, 2, 5) if self.high - self.low < 2.5 else (1,)
            values = [digit * 10.0**power for power in powers for digit in digits]
            return [value for value in values if self.low <= math.log10(value) <= self.high]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = min((digit * unit for digit in (1, 2, 5, 10)), key=lambda value: abs(value - rough))
        return [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def _colors(count: int) -> list[tuple[int, int, int]]:
    return [COLORS[i % len(COLORS)] for i in range(count)]


def _label(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}" if value == round(value, 3) else f"{value:.3g}"
