"""y = MLP(x; W) for tiles of points of many scenes, in one launch. Nothing between inputs and outputs is written to memory."""

import triton
import triton.language as tl

from .blocks import hidden_layers, input_features, load_weights, times


@triton.jit
def mlp_forward(
    positions, position_scene, position_point, position_column,  # [scene, point, 3] and its strides, or None
    given, given_scene, given_point, given_column,  # [scene, point, feature], or None
    packed, packed_scene,  # [scene, size]
    counts,  # [scene] points that there are in each scene, or None: all
    outputs,  # [scene, point, OUTPUTS], contiguous; rows from the scene's count on are not written
    points,
    OCTAVES: tl.constexpr, FEATURES: tl.constexpr, OUTPUTS: tl.constexpr,
    ENCODED: tl.constexpr, ENCODED_PIECE: tl.constexpr, GIVEN: tl.constexpr, GIVEN_PIECE: tl.constexpr,
    WIDTH: tl.constexpr, DEPTH: tl.constexpr, DTYPE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Program (p, s) loads the weights of scene s once and takes its tiles p, p + programs, ..."""
    scene = tl.program_id(1).to(tl.int64)
    first, hidden, last = load_weights(
        packed + scene * packed_scene, ENCODED, ENCODED_PIECE, GIVEN, GIVEN_PIECE, WIDTH, DEPTH, DTYPE
    )
    here = positions + scene * position_scene if ENCODED > 0 else positions
    given_here = given + scene * given_scene if GIVEN > 0 else given
    count = points if counts is None else tl.load(counts + scene)
    PIECES: tl.constexpr = ENCODED // ENCODED_PIECE + GIVEN // GIVEN_PIECE
    columns = tl.arange(0, 16)
    for tile in range(tl.program_id(0), tl.cdiv(count, ROWS), tl.num_programs(0)):
        rows = tile * ROWS + tl.arange(0, ROWS)
        inside = rows < count
        pieces = input_features(
            here, position_point, position_column, given_here, given_point, given_column, rows, inside,
            OCTAVES, FEATURES, ENCODED, ENCODED_PIECE, GIVEN, GIVEN_PIECE, DTYPE,
        )  # fmt: skip
        layers = hidden_layers(pieces, first, hidden, PIECES, DEPTH, DTYPE)
        result = times(layers[DEPTH - 1], last)
        at = outputs + scene * points * OUTPUTS + rows[:, None] * OUTPUTS + columns[None, :]
        tl.store(at, result, mask=inside[:, None] & (columns < OUTPUTS)[None, :])
