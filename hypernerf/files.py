"""Writing files so that a half-written one never bears the final name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .types import InputError


def write_atomically(path: Path | str, write: Callable[[Path], object]) -> None:
    """`write` to a temporary name beside `path`, flush it to the disk, then give it its name.

    Raises:
        InputError: the place cannot be written to. Nothing is left behind then, or after any other error.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # the suffix stays: writers look at it
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}): choose another place") from None
    finally:
        temporary.unlink(missing_ok=True)
