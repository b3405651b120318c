"""Gradients of `mlp_forward` in its weights and in the features it was given, activations computed anew.

With layers h_0 = x, h_i = relu(W_i h_{i-1}), y = W_n h_{n-1} and g_n = dL/dy:

    dW_i = sum over points of g_i h_{i-1}^T,     g_{i-1} = (W_i^T g_i) where h_{i-1} > 0,     dL/dx = W_1^T g_1.

A program sums dW over its own tiles in registers and writes the sum where nobody else writes; the caller adds the programs'
sums in a fixed order. No atomic operation: the same inputs give the same bits.
"""

import triton
import triton.language as tl

from .blocks import hidden_layers, input_features, load_weights


@triton.jit
def _outer(left, right, total):
    """total + left^T @ right: a tile's share of a matrix's gradient."""
    return tl.dot(tl.trans(left), right, total, input_precision="ieee")


@triton.jit
def _store(start, stride, block, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    tl.store(start + tl.arange(0, ROWS)[:, None] * stride + tl.arange(0, COLUMNS)[None, :], block)


@triton.jit
def mlp_backward(
    positions, position_scene, position_point, position_column,
    given, given_scene, given_point, given_column,
    packed, packed_scene,
    counts,
    gradients,  # dL/dy [scene, point, OUTPUTS], contiguous
    given_gradients,  # dL/dgiven [scene, point, FEATURES], contiguous, or None
    partial,  # [scene, program, size]: each program's dL/dW
    points, size,
    OCTAVES: tl.constexpr, FEATURES: tl.constexpr, OUTPUTS: tl.constexpr,
    ENCODED: tl.constexpr, ENCODED_PIECE: tl.constexpr, GIVEN: tl.constexpr, GIVEN_PIECE: tl.constexpr,
    WIDTH: tl.constexpr, DEPTH: tl.constexpr, DTYPE: tl.constexpr, ROWS: tl.constexpr,
    LOW: tl.constexpr, HIGH: tl.constexpr,
):  # fmt: skip
    """As `mlp_forward`. Of the matrices 0..DEPTH (the last one is DEPTH) this launch differentiates LOW..HIGH - 1.

    Registers hold so many sums only: wide networks take several launches, each of which computes the layers again.
    """
    scene = tl.program_id(1).to(tl.int64)
    first, hidden, last = load_weights(
        packed + scene * packed_scene, ENCODED, ENCODED_PIECE, GIVEN, GIVEN_PIECE, WIDTH, DEPTH, DTYPE
    )
    here = positions + scene * position_scene if ENCODED > 0 else positions
    given_here = given + scene * given_scene if GIVEN > 0 else given
    count = points if counts is None else tl.load(counts + scene)
    ENCODED_PIECES: tl.constexpr = ENCODED // ENCODED_PIECE
    PIECES: tl.constexpr = ENCODED_PIECES + GIVEN // GIVEN_PIECE
    columns = tl.arange(0, 16)

    first_sums, hidden_sums, last_sums = (), (), tl.zeros((WIDTH, 16), tl.float32)
    if LOW == 0:
        for _ in tl.static_range(ENCODED_PIECES):
            first_sums = first_sums + (tl.zeros((WIDTH, ENCODED_PIECE), tl.float32),)
        for _ in tl.static_range(PIECES - ENCODED_PIECES):
            first_sums = first_sums + (tl.zeros((WIDTH, GIVEN_PIECE), tl.float32),)
    for i in tl.static_range(1, DEPTH):
        if i >= LOW and i < HIGH:
            hidden_sums = hidden_sums + (tl.zeros((WIDTH, WIDTH), tl.float32),)

    for tile in range(tl.program_id(0), tl.cdiv(count, ROWS), tl.num_programs(0)):
        rows = tile * ROWS + tl.arange(0, ROWS)
        inside = rows < count
        pieces = input_features(
            here, position_point, position_column, given_here, given_point, given_column, rows, inside,
            OCTAVES, FEATURES, ENCODED, ENCODED_PIECE, GIVEN, GIVEN_PIECE, DTYPE,
        )  # fmt: skip
        layers = hidden_layers(pieces, first, hidden, PIECES, DEPTH, DTYPE)
        at = gradients + scene * points * OUTPUTS + rows[:, None] * OUTPUTS + columns[None, :]
        towards = tl.load(at, mask=inside[:, None] & (columns < OUTPUTS)[None, :], other=0.0).to(DTYPE)
        if HIGH == DEPTH + 1:
            last_sums = _outer(layers[DEPTH - 1], towards, last_sums)  # transposed: its short side is the 16 outputs
        gradient = tl.dot(towards, last, input_precision="ieee")
        gradient = tl.where(layers[DEPTH - 1] > 0, gradient, 0.0).to(DTYPE)
        sums = ()
        for i in tl.static_range(DEPTH - 1, 0, -1):
            if i < HIGH and i >= LOW:
                sums = (_outer(gradient, layers[i - 1], hidden_sums[i - (LOW if LOW > 1 else 1)]),) + sums
            if i > LOW or LOW == 0:
                gradient = tl.dot(gradient, hidden[i - 1], input_precision="ieee")
                gradient = tl.where(layers[i - 1] > 0, gradient, 0.0).to(DTYPE)
        hidden_sums = sums
        if LOW == 0:
            sums = ()
            for i in tl.static_range(PIECES):
                sums = sums + (_outer(gradient, pieces[i], first_sums[i]),)
            first_sums = sums
            if given_gradients is not None:
                for i in tl.static_range(PIECES - ENCODED_PIECES):
                    back = tl.dot(gradient, first[ENCODED_PIECES + i], input_precision="ieee")
                    feature = i * GIVEN_PIECE + tl.arange(0, GIVEN_PIECE)
                    at = given_gradients + scene * points * FEATURES + rows[:, None] * FEATURES + feature[None, :]
                    tl.store(at, back, mask=inside[:, None] & (feature < FEATURES)[None, :])

    start = partial + (scene * tl.num_programs(0) + tl.program_id(0)) * size
    if LOW == 0:
        for i in tl.static_range(ENCODED_PIECES):
            _store(start + i * ENCODED_PIECE, ENCODED + GIVEN, first_sums[i], WIDTH, ENCODED_PIECE)
        for i in tl.static_range(PIECES - ENCODED_PIECES):
            at = start + ENCODED + i * GIVEN_PIECE
            _store(at, ENCODED + GIVEN, first_sums[ENCODED_PIECES + i], WIDTH, GIVEN_PIECE)
    squares = start + WIDTH * (ENCODED + GIVEN)
    for i in tl.static_range(1, DEPTH):
        if i >= LOW and i < HIGH:
            sums = hidden_sums[i - (LOW if LOW > 1 else 1)]
            _store(squares + (i - 1) * WIDTH * WIDTH, WIDTH, sums, WIDTH, WIDTH)
    if HIGH == DEPTH + 1:
        _store(squares + (DEPTH - 1) * WIDTH * WIDTH, WIDTH, tl.trans(last_sums), 16, WIDTH)
