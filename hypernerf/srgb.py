"""Display encoding (sRGB) and linear light. Images and fields hold the former; colors at a glTF file's vertices are the latter.

IEC 61966-2-1:1999, section 4.2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array


def to_linear(color: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Display encoding to linear light, both in [0, 1]."""
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def to_display(light: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The inverse of `to_linear`."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
