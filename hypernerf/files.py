"""Writing files so that a half-written one never bears the final name, and a written one outlives a crash of the machine."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from .types import InputError


def write_atomically(path: Path | str, write: Callable[[Path], object]) -> None:
    """`write` to a temporary name beside `path`, flush it to the disk, then give it its name, and flush that too.

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
        _flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be written ({reason}): make room there, or choose another place") from None
    finally:
        with contextlib.suppress(OSError):  # a read-only place: the error that led here says more
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """`folder` and what it lies in, there to stay. Raises `InputError` when it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _flush_folder(folder.parent)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror or error}): choose another place") from None


def _flush_folder(folder: Path) -> None:
    """Until a folder is flushed, a crash of the machine can take back a renaming in it."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems flush no folders
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files in `folder` whose writer, a process of this machine, was killed."""
    for path in folder.glob(".*.*"):
        match = re.match(r"\.(\d+)\.", path.name)
        if match and not _is_another_process(int(match[1])):
            path.unlink(missing_ok=True)


def _is_another_process(pid: int) -> bool:
    """Of an earlier life with our own number (the first process of every container has the same), nothing is left."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
