"""Drawn views on disk, so that the second run starts at once."""

from __future__ import annotations

import io
import math
import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from hypernerf.reading import read_bytes
from hypernerf.types import InputError


def cached_pixels(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What `save_pixels` wrote there; None if there is nothing, or nothing whole of this shape."""
    header = _header(shape)
    try:
        data = bytearray(read_bytes(path, len(header) + math.prod(shape)))
    except InputError:
        return None
    if len(data) != len(header) + math.prod(shape) or not data.startswith(header):
        return None
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)


def _header(shape: tuple[int, ...]) -> bytes:
    """How a `.npy` file of 8-bit values begins."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def save_pixels(path: Path, pixels: np.ndarray) -> None:
    """Best effort: without a writable cache scenes are drawn anew each time, which is slower but right."""
    save_bytes(path, _header(pixels.shape) + np.ascontiguousarray(pixels, np.uint8).tobytes())


def save_bytes(path: Path, data: bytes) -> None:
    """As `save_pixels`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        _warn_once(f"the cache {path.parent} cannot be written ({error.strerror}): scenes are made anew; set HYPERNERF_CACHE")


@lru_cache
def _warn_once(message: str) -> None:
    print(message)
