"""Rays to pixels in one launch: march through occupied cells, ask the field, composite front to back, stop where it is dark.

A program loads the scene's weights once and takes ROWS rays. At each turn every ray of them steps on to its next sample in an
occupied cell, each by itself; then all rays ask the field once. Samples are the middles of SAMPLES equal parts of the
chord between near and far; those in empty cells count as empty.
"""

import triton
import triton.language as tl

from .blocks import encode, hidden_layers, load_weights, times
from .grids import plane_features, volume_features


@triton.jit
def _column(block, columns, number: tl.constexpr):
    return tl.sum(tl.where((columns == number)[None, :], block, 0.0), axis=1)


@triton.jit
def _occupied(cells, x, y, z, wanted, GRID: tl.constexpr):
    column = tl.minimum(tl.maximum(((x + 1.0) * (0.5 * GRID)).to(tl.int32), 0), GRID - 1)
    row = tl.minimum(tl.maximum(((y + 1.0) * (0.5 * GRID)).to(tl.int32), 0), GRID - 1)
    slab = tl.minimum(tl.maximum(((z + 1.0) * (0.5 * GRID)).to(tl.int32), 0), GRID - 1)
    return tl.load(cells + (slab * GRID + row) * GRID + column, mask=wanted, other=0) > 0


@triton.jit
def render(
    origins, directions,  # [ray, 3], contiguous
    near, far,  # [ray]
    cells,  # [GRID, GRID, GRID] bytes, z y x
    planes, volume,  # of the scene, or None
    packed,  # [size]
    pixels,  # [ray, 5]: color without background, opacity, mean distance times opacity
    rays, shift, scale, darkest,
    SAMPLES: tl.constexpr, GRID: tl.constexpr, OCTAVES: tl.constexpr,
    PLANE: tl.constexpr, PLANE_CHANNELS: tl.constexpr, VOLUME: tl.constexpr, VOLUME_CHANNELS: tl.constexpr,
    ENCODED: tl.constexpr, ENCODED_PIECE: tl.constexpr, GIVEN: tl.constexpr, GIVEN_PIECE: tl.constexpr,
    WIDTH: tl.constexpr, DEPTH: tl.constexpr, DTYPE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    first, hidden, last = load_weights(packed, ENCODED, ENCODED_PIECE, GIVEN, GIVEN_PIECE, WIDTH, DEPTH, DTYPE)
    PIECES: tl.constexpr = ENCODED // ENCODED_PIECE + GIVEN // GIVEN_PIECE
    FROM_PLANES: tl.constexpr = 3 * PLANE_CHANNELS if PLANE > 0 else 0
    columns = tl.arange(0, 16)
    ray = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = ray < rays
    ox = tl.load(origins + ray * 3, mask=inside, other=0.0)
    oy = tl.load(origins + ray * 3 + 1, mask=inside, other=0.0)
    oz = tl.load(origins + ray * 3 + 2, mask=inside, other=0.0)
    dx = tl.load(directions + ray * 3, mask=inside, other=0.0)
    dy = tl.load(directions + ray * 3 + 1, mask=inside, other=0.0)
    dz = tl.load(directions + ray * 3 + 2, mask=inside, other=0.0)
    start = tl.load(near + ray, mask=inside, other=0.0)
    length = (tl.load(far + ray, mask=inside, other=0.0) - start) / SAMPLES
    sample = tl.where(length > 0.0, 0, SAMPLES)  # the ray's next one
    light = tl.full((ROWS,), 1.0, tl.float32)
    red, green, blue = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.float32)
    distance = tl.zeros((ROWS,), tl.float32)
    alive = sample < SAMPLES
    while tl.max(alive.to(tl.int32), axis=0) > 0:
        seeking = alive
        while tl.max(seeking.to(tl.int32), axis=0) > 0:
            t = start + (sample.to(tl.float32) + 0.5) * length
            empty = seeking & (_occupied(cells, ox + t * dx, oy + t * dy, oz + t * dz, seeking, GRID) == 0)
            sample += empty.to(tl.int32)
            seeking = empty & (sample < SAMPLES)
        alive = alive & (sample < SAMPLES)
        t = start + (sample.to(tl.float32) + 0.5) * length
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        pieces = ()
        for i in tl.static_range(ENCODED // ENCODED_PIECE):
            pieces = pieces + (encode(x, y, z, i * ENCODED_PIECE + tl.arange(0, ENCODED_PIECE), OCTAVES).to(DTYPE),)
        for i in tl.static_range(GIVEN // GIVEN_PIECE):
            feature = i * GIVEN_PIECE + tl.arange(0, GIVEN_PIECE)
            read = tl.zeros((ROWS, GIVEN_PIECE), tl.float32)
            if PLANE > 0:
                read += plane_features(planes, x, y, z, feature, PLANE, PLANE_CHANNELS)
            if VOLUME > 0:
                read += volume_features(volume, x, y, z, feature - FROM_PLANES, VOLUME, VOLUME_CHANNELS)
            pieces = pieces + (read.to(DTYPE),)
        layers = hidden_layers(pieces, first, hidden, PIECES, DEPTH, DTYPE)
        output = times(layers[DEPTH - 1], last)
        if VOLUME > 0:
            output += tl.where((columns < 4)[None, :], volume_features(volume, x, y, z, columns, VOLUME, VOLUME_CHANNELS), 0.0)
        raw = _column(output, columns, 0) - shift
        density = scale * (tl.maximum(raw, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(raw))))
        share = tl.where(alive, light * (1.0 - tl.exp(-density * length)), 0.0)
        red += share / (1.0 + tl.exp(-_column(output, columns, 1)))
        green += share / (1.0 + tl.exp(-_column(output, columns, 2)))
        blue += share / (1.0 + tl.exp(-_column(output, columns, 3)))
        distance += share * t
        light -= share
        sample += 1
        alive = alive & (sample < SAMPLES) & (light > darkest)
    tl.store(pixels + ray * 5, red, mask=inside)
    tl.store(pixels + ray * 5 + 1, green, mask=inside)
    tl.store(pixels + ray * 5 + 2, blue, mask=inside)
    tl.store(pixels + ray * 5 + 3, 1.0 - light, mask=inside)
    tl.store(pixels + ray * 5 + 4, distance, mask=inside)
