"""Whether a PNG file has all the pixels that it claims (https://www.w3.org/TR/png-3/). Pillow makes up what is missing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel's, by color type
WHOLE = ((0, 0, 1, 1),)  # first column and row, step in columns and rows of each pass
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PIECE = 1 << 16  # bytes


def lacks_pixels(file: BinaryIO) -> bool:
    """Whether `file` is a PNG whose compressed rows end before the size in its header is reached. Its position is kept.

    Raises:
        struct.error, KeyError, zlib.error: a damaged PNG.
    """
    place = file.tell()
    file.seek(0)
    lacks = file.read(8) == SIGNATURE and _lacks_pixels(file)
    file.seek(place)
    return lacks


def _lacks_pixels(file: BinaryIO) -> bool:
    width, height, depth, color, _, _, interlaced = struct.unpack(">8xIIBBBBB", file.read(21))
    left = 0
    for column, row, columns, rows in ADAM7 if interlaced else WHOLE:
        across, down = -((column - width) // columns), -((row - height) // rows)
        left += down * (1 + (across * depth * SAMPLES[color] + 7) // 8) if across > 0 and down > 0 else 0
    inflate = zlib.decompressobj()
    file.seek(8)
    for piece in _compressed(file):
        while piece and left > 0:
            left -= len(inflate.decompress(piece, PIECE))
            piece = inflate.unconsumed_tail
    return left > 0


def _compressed(file: BinaryIO) -> Iterator[bytes]:
    """The contents of the chunks of pixels, in pieces."""
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind != b"IDAT":
            file.seek(size + 4, 1)
            continue
        while size > 0 and (piece := file.read(min(size, PIECE))):
            yield piece
            size -= len(piece)
        file.seek(4, 1)
