"""Features read from planes and a volume inside a kernel: `sample_planes` and `sample_volume` for a tile of points."""

import triton
import triton.language as tl


@triton.jit
def _cell(value, SIZE: tl.constexpr):
    """(lower center, upper center, share of the upper) along an axis of SIZE cells over [-1, 1]; constant beyond the centers."""
    place = tl.minimum(tl.maximum((value + 1.0) * (0.5 * SIZE) - 0.5, 0.0), SIZE - 1.0)
    low = tl.floor(place)
    number = low.to(tl.int32)
    return number, tl.minimum(number + 1, SIZE - 1), place - low


@triton.jit
def plane_features(planes, x, y, z, columns, SIZE: tl.constexpr, CHANNELS: tl.constexpr):
    """[rows, columns]: channel c of the xy, xz, yz planes for columns below 3 CHANNELS, else zero."""
    plane = (columns // CHANNELS)[None, :]
    valid = (columns < 3 * CHANNELS)[None, :]
    left, right, across = _cell(tl.where(plane < 2, x[:, None], y[:, None]), SIZE)
    top, bottom, down = _cell(tl.where(plane == 0, y[:, None], z[:, None]), SIZE)
    start = planes + columns[None, :] * SIZE * SIZE
    upper = tl.load(start + top * SIZE + left, mask=valid, other=0.0) * (1.0 - across)
    upper += tl.load(start + top * SIZE + right, mask=valid, other=0.0) * across
    lower = tl.load(start + bottom * SIZE + left, mask=valid, other=0.0) * (1.0 - across)
    lower += tl.load(start + bottom * SIZE + right, mask=valid, other=0.0) * across
    return upper * (1.0 - down) + lower * down


@triton.jit
def volume_features(volume, x, y, z, channels, SIZE: tl.constexpr, CHANNELS: tl.constexpr):
    """[rows, columns]: those channels of the volume [channel, z, y, x]; zero where there is none of that number."""
    valid = ((channels >= 0) & (channels < CHANNELS))[None, :]
    total = tl.zeros((x.shape[0], channels.shape[0]), tl.float32)
    left, right, across = _cell(x, SIZE)
    top, bottom, down = _cell(y, SIZE)
    near, far, deep = _cell(z, SIZE)
    for corner in tl.static_range(8):
        column, u = (right, across) if corner % 2 else (left, 1.0 - across)
        row, v = (bottom, down) if corner // 2 % 2 else (top, 1.0 - down)
        slab, w = (far, deep) if corner // 4 else (near, 1.0 - deep)
        at = ((slab * SIZE + row) * SIZE + column)[:, None] + channels[None, :] * SIZE * SIZE * SIZE
        total += (u * v * w)[:, None] * tl.load(volume + at, mask=valid, other=0.0)
    return total
