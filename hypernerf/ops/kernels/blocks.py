"""What all kernels share: a scene's weights as blocks, input features of a tile of points, the layers.

A tile is ROWS points; `x, y, z` are [ROWS], features and activations [ROWS, columns]. Weights are blocks [outputs, inputs] in
DTYPE, products accumulate in float32. The first matrix comes in pieces of ENCODED_PIECE and GIVEN_PIECE columns, since a block's
sides are powers of two and the number of features, a multiple of 16, need not be one. See `ops.packing` for the order in memory.
"""

import triton
import triton.language as tl


@triton.jit
def load_matrix(start, stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DTYPE: tl.constexpr):
    rows, columns = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    return tl.load(start + rows[:, None] * stride + columns[None, :]).to(DTYPE)


@triton.jit
def load_weights(
    scene,  # where the scene's row begins
    ENCODED: tl.constexpr,
    ENCODED_PIECE: tl.constexpr,
    GIVEN: tl.constexpr,
    GIVEN_PIECE: tl.constexpr,
    WIDTH: tl.constexpr,
    DEPTH: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """(pieces of the first matrix, hidden matrices, the last matrix); ENCODED and GIVEN are padded counts of features."""
    first, hidden = (), ()
    for i in tl.static_range(ENCODED // ENCODED_PIECE):
        first = first + (load_matrix(scene + i * ENCODED_PIECE, ENCODED + GIVEN, WIDTH, ENCODED_PIECE, DTYPE),)
    for i in tl.static_range(GIVEN // GIVEN_PIECE):
        first = first + (load_matrix(scene + ENCODED + i * GIVEN_PIECE, ENCODED + GIVEN, WIDTH, GIVEN_PIECE, DTYPE),)
    squares = scene + WIDTH * (ENCODED + GIVEN)
    for i in tl.static_range(DEPTH - 1):
        hidden = hidden + (load_matrix(squares + i * WIDTH * WIDTH, WIDTH, WIDTH, WIDTH, DTYPE),)
    return first, hidden, load_matrix(squares + (DEPTH - 1) * WIDTH * WIDTH, WIDTH, 16, WIDTH, DTYPE)


@triton.jit
def encode(x, y, z, columns, OCTAVES: tl.constexpr):
    """Those columns of `frequency_encoding`, [rows, columns] in float32; zero beyond its last.

    sin(pi t) and cos(pi t) for t = 2^k x: t - round(t) is exact, and the sine of what is left, at most a quarter turn, is its
    Taylor polynomial to the ninth power (error below 4e-6).
    """
    wave = tl.maximum(columns - 3, 0)
    octave, within = wave // 6, wave % 6
    axis = tl.where(columns < 3, columns, within % 3)[None, :]
    value = tl.where(axis == 0, x[:, None], tl.where(axis == 1, y[:, None], z[:, None]))
    turns = value * tl.exp2(octave.to(tl.float32))[None, :]
    nearest = tl.floor(turns + 0.5)
    rest = turns - nearest
    sign = 1.0 - 2.0 * (nearest - 2.0 * tl.floor(0.5 * nearest))
    angle = 3.141592653589793 * tl.where((within >= 3)[None, :], 0.5 - tl.abs(rest), rest)
    square = angle * angle
    sine = 1.0 + square * (-1 / 6 + square * (1 / 120 + square * (-1 / 5040 + square * (1 / 362880))))
    result = tl.where((columns < 3)[None, :], value, sign * angle * sine)
    last: tl.constexpr = 3 + 6 * OCTAVES
    return tl.where((columns < last)[None, :], result, tl.where((columns == last)[None, :], 1.0, 0.0))


@triton.jit
def input_features(
    positions,  # [point, 3] of the scene, or None
    position_stride,
    position_column,
    given,  # [point, feature] of the scene, or None
    given_stride,
    given_column,
    rows,
    inside,
    OCTAVES: tl.constexpr,
    FEATURES: tl.constexpr,
    ENCODED: tl.constexpr,
    ENCODED_PIECE: tl.constexpr,
    GIVEN: tl.constexpr,
    GIVEN_PIECE: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """The tile's features as pieces [rows, piece], in the order of the first matrix's; zero where padded or outside."""
    pieces = ()
    if ENCODED > 0:
        at = positions + rows * position_stride
        x = tl.load(at, mask=inside, other=0.0)
        y = tl.load(at + position_column, mask=inside, other=0.0)
        z = tl.load(at + 2 * position_column, mask=inside, other=0.0)
        for i in tl.static_range(ENCODED // ENCODED_PIECE):
            columns = i * ENCODED_PIECE + tl.arange(0, ENCODED_PIECE)
            pieces = pieces + (encode(x, y, z, columns, OCTAVES).to(DTYPE),)
    for i in tl.static_range(GIVEN // GIVEN_PIECE):
        columns = i * GIVEN_PIECE + tl.arange(0, GIVEN_PIECE)
        at = given + rows[:, None] * given_stride + columns[None, :] * given_column
        seen = tl.load(at, mask=inside[:, None] & (columns < FEATURES)[None, :], other=0.0)
        pieces = pieces + (seen.to(DTYPE),)
    return pieces


@triton.jit
def times(rows, matrix):
    """rows @ matrix^T in float32."""
    return tl.dot(rows, tl.trans(matrix), input_precision="ieee")


@triton.jit
def hidden_layers(pieces, first, hidden, PIECES: tl.constexpr, DEPTH: tl.constexpr, DTYPE: tl.constexpr):
    """Activations after each hidden layer, DEPTH blocks [rows, width]."""
    total = times(pieces[0], first[0])
    for i in tl.static_range(1, PIECES):
        total = tl.dot(pieces[i], tl.trans(first[i]), total, input_precision="ieee")
    layers = (tl.maximum(total, 0.0).to(DTYPE),)
    for i in tl.static_range(DEPTH - 1):
        layers = layers + (tl.maximum(times(layers[i], hidden[i]), 0.0).to(DTYPE),)
    return layers
