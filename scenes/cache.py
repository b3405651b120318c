"""Drawn views on disk, so that the second run starts at once."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np


def cached_pixels(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What `save_pixels` wrote there; None if there is nothing, or nothing whole of this shape."""
    try:
        pixels = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    return pixels if pixels.shape == shape and pixels.dtype == np.uint8 else None


def save_pixels(path: Path, pixels: np.ndarray) -> None:
    """Best effort: without a writable cache scenes are drawn anew each time, which is slower but right."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, pixels)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        _warn_once(f"the cache {path.parent} cannot be written ({error.strerror}): scenes are made anew; set HYPERNERF_CACHE")


@lru_cache
def _warn_once(message: str) -> None:
    print(message)
