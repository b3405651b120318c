"""One scene's rays to pixels in one launch (`kernels/render.py`). Not yet run on a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._triton import BACKWARD_TILE, FORWARD_TILE, _constants, _narrow, _tile
from .packing import Layout, pack


@torch.no_grad()
def render(
    origins: Float[Tensor, "ray 3"],
    directions: Float[Tensor, "ray 3"],
    near: Float[Tensor, " ray"],
    far: Float[Tensor, " ray"],
    cells: Bool[Tensor, "z y x"],
    octaves: int,
    planes: Float[Tensor, "1 3 channel row column"] | None,
    volume: Float[Tensor, "1 1 channel z y x"] | None,
    weights: Sequence[Float[Tensor, "1 outputs inputs"]],
    samples: int,
    density: tuple[float, float],
    darkest: float = 1e-3,
) -> Float[Tensor, "ray 5"]:
    """Color (without background), opacity, and mean distance times opacity of each ray, in float32.

    Args:
        samples: equal parts of the chord from near to far; those whose middle lies in an empty cell are skipped.
        density: (shift, scale) of density = scale * softplus(h - shift).
        darkest: transmittance below which a ray stops.
    """
    from .kernels.render import render as kernel

    layout, device = Layout.of(weights, 4 + 6 * octaves), origins.device
    tile = _tile(device, BACKWARD_TILE if layout.given else FORWARD_TILE)  # reading grids takes registers
    constants = _constants(layout, octaves, device, tile)
    for name in ("FEATURES", "OUTPUTS"):
        del constants[name]
    sizes = {"PLANE": 0, "PLANE_CHANNELS": 1, "VOLUME": 0, "VOLUME_CHANNELS": 1}
    if planes is not None:
        sizes |= {"PLANE": planes.shape[-1], "PLANE_CHANNELS": planes.shape[2]}
    if volume is not None:
        sizes |= {"VOLUME": volume.shape[-1], "VOLUME_CHANNELS": volume.shape[2]}
    pixels = origins.new_zeros(len(origins), 5)
    if len(origins):
        whole = (None if t is None else t.contiguous() for t in (planes, volume))
        kernel[(-(-len(origins) // tile[0]),)](
            origins.contiguous(), directions.contiguous(), near.contiguous(), far.contiguous(),
            cells.contiguous().view(torch.uint8), *whole, _narrow(pack(weights, layout)), pixels, len(origins),
            float(density[0]), float(density[1]), darkest,
            SAMPLES=samples, GRID=cells.shape[-1], **sizes, **constants,
        )  # fmt: skip
    return pixels
