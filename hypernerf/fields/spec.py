"""The static architecture of a radiance field: the only source of its parameters' names and shapes."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import InputError, require_within

WIDTHS = (16, 32, 64, 128)  # what the fused kernels of every backend can hold


@dataclass(frozen=True)
class FieldSpec:
    """A ReLU network over a frequency encoding and, if their resolutions are not 0, feature planes and a feature volume.

    Layers have no bias; a constant input feature gives the first layer one. Density depends on position alone, so that a
    mesh exists; with `direction_frequencies` > 0 color also depends on the viewing direction, through one more layer.
    """

    width: int = 64
    depth: int = 3
    position_frequencies: int = 10  # octaves: sin and cos of 2^0 pi x ... 2^(n-1) pi x
    direction_frequencies: int = 0
    plane_resolution: int = 0  # texels along a side of each plane; 0: no planes
    plane_channels: int = 8
    volume_resolution: int = 0  # texels along a side of the volume; 0: none
    volume_channels: int = 4  # the first four are also added to the outputs before their activations

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise InputError(f"field.width must be one of {WIDTHS}, not {self.width}")
        limits = {
            "depth": (1, 8), "position_frequencies": (0, 16), "direction_frequencies": (0, 8),
            "plane_resolution": (0, 256), "plane_channels": (1, 64), "volume_resolution": (0, 128), "volume_channels": (4, 64),
        }  # fmt: skip
        require_within("field", self, limits)
        if self.plane_resolution == 1 or self.volume_resolution == 1:
            raise InputError("field.plane_resolution and field.volume_resolution must be 0 (none) or at least 2")

    @property
    def input_features(self) -> int:
        """3 coordinates, their sines and cosines, the constant, and the features read from planes and volume."""
        planes = 3 * self.plane_channels if self.plane_resolution else 0
        volume = self.volume_channels if self.volume_resolution else 0
        return 3 + 6 * self.position_frequencies + 1 + planes + volume

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The trunk's matrices in order; the last gives density and (where it does not see directions) color."""
        return tuple(f"layer_{i}" for i in range(self.depth + 1))

    @property
    def param_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape: matrices [out, in], planes [3, channel, row, column], volume [1, channel, z, y, x]."""
        width = self.width
        inputs = [self.input_features] + [width] * self.depth
        outputs = [width] * self.depth + [1 if self.direction_frequencies else 4]
        shapes: dict[str, tuple[int, ...]] = dict(zip(self.layer_names, zip(outputs, inputs, strict=True), strict=True))
        if self.direction_frequencies:
            shapes["color_0"] = (width, width + 3 + 6 * self.direction_frequencies + 1)
            shapes["color_1"] = (3, width)
        if self.plane_resolution:
            shapes["planes"] = (3, self.plane_channels, self.plane_resolution, self.plane_resolution)
        if self.volume_resolution:
            shapes["volume"] = (1, self.volume_channels, *(self.volume_resolution,) * 3)
        return shapes
