"""Reading files that somebody else made: regular files alone, of bounded size, and none outside of its folder.

What is read at these doors may lie: a name may be a pipe or lead elsewhere, a text may nest without end or refer to itself.
Each function takes the type of error to raise, so that a scene's reader can say that the scene is unusable.
"""

from __future__ import annotations

import json
import mmap
import os
import reprlib
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

import yaml

from .types import InputError

MAX_DEPTH = 32  # of lists and sections in each other; no file of ours needs ten
MAX_INTEGER = 2**63  # Python would take a whole file of digits for one number

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 120


def shown(value: object) -> str:
    """`value` for a message, cut short: it may be of any size and depth."""
    try:
        return _short.repr(value)
    except ValueError:  # more digits than Python writes
        return "a huge number"


@contextmanager
def open_regular(path: Path | str, limit: int, error: type[InputError] = InputError) -> Iterator[BufferedReader]:
    """A file to read from its start. Raises `error` unless it is a regular file of at most `limit` bytes."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise error(f"{path}: not a regular file (a folder, a pipe or a device): give a file")
        file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115  (closed below)
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, ValueError) as problem:  # ValueError: a name that no file can have
        raise error(f"{path}: cannot be read ({getattr(problem, 'strerror', None) or problem})") from None
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise error(f"{path}: {size} bytes, more than the {limit} that such a file may have")
        yield file


def _open_without_waiting(name: str, flags: int) -> int:
    """A pipe that was put in the file's place meanwhile must not keep us waiting for its writer."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(path: Path | str, limit: int, error: type[InputError] = InputError) -> bytes:
    """The whole file. Raises `error` as `open_regular` does."""
    with open_regular(path, limit, error) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            data = file.read(size + 1)
        except OSError as problem:
            raise error(f"{path}: cannot be read ({problem.strerror})") from None
    if len(data) > size:  # files of the kernel say that they are empty
        raise error(f"{path}: has more bytes than the {size} it is said to have")
    return data


def read_aside(path: Path | str, limit: int, error: type[InputError] = InputError) -> tuple[mmap.mmap, int]:
    """The whole file, to be read like one, and its size; in pages beside the heap. Raises `error` as `open_regular` does."""
    with open_regular(path, limit, error) as file:
        size = os.fstat(file.fileno()).st_size
        pages = mmap.mmap(-1, size + 1)
        try:
            count = file.readinto(pages)
        except OSError as problem:
            raise error(f"{path}: cannot be read ({problem.strerror})") from None
    if count > size:
        raise error(f"{path}: has more bytes than the {size} it is said to have")
    return pages, count


def read_text(path: Path | str, limit: int, error: type[InputError] = InputError) -> str:
    """The whole file as UTF-8. Raises `error`."""
    try:
        return read_bytes(path, limit, error).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: cannot be read as text ({problem.reason} at byte {problem.start})") from None


def read_json(path: Path | str, limit: int, error: type[InputError] = InputError) -> Any:
    """The file's contents. Raises `error` unless it is JSON, of bounded depth and whole numbers."""
    try:
        return parse_json(read_text(path, limit, error))
    except ValueError as problem:
        raise error(f"{path}: cannot be read as JSON ({problem})") from None


def parse_json(text: str) -> Any:
    """Plain values. Raises `ValueError` for what is no JSON, too deep, or holds whole numbers of more than 63 bits."""
    try:
        return _bounded(json.loads(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Plain values. Raises `ValueError` for what is no YAML, is tagged as or refers to something else, or is too deep."""
    try:
        return _bounded(yaml.load(text, _PlainLoader))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (yaml.YAMLError, OverflowError) as problem:
        raise ValueError(" ".join(str(problem).split())) from None


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, by which a few lines become a million values or contain themselves, and without tags."""

    depth = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"line {line}: aliases are not read, write the value out")
        if getattr(event, "tag", None) is not None:
            raise yaml.YAMLError(f"line {line}: tags are not read: {shown(event.tag)}")
        if self.depth > MAX_DEPTH:  # now, since time grows with the square of the depth
            raise yaml.YAMLError(f"line {line}: nested too deeply")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _bounded(value: Any) -> Any:
    """`value` itself. Raises `ValueError` when it is too deep, or holds a number that is too large."""
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if isinstance(part, int) and abs(part) >= MAX_INTEGER:
            raise ValueError("a whole number of more than 63 bits")
        if isinstance(part, Mapping):
            waiting += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]
    return value


def inside(
    folder: Path, name: Path | str, *, follow_links: bool = False, named_by: object = None, error: type[InputError] = InputError
) -> Path:
    """`folder / name`, resolved. Raises `error` when that lies outside of the folder.

    Args:
        name: relative to `folder`, or absolute.
        follow_links: a link may lead out of the folder; `..` and absolute names still may not.
        named_by: what the name was read from, for the message.
    """
    resolve = os.path.abspath if follow_links else os.path.realpath
    try:
        root, path = resolve(folder), resolve(folder / name)
        leaves = os.path.commonpath([root, path]) != root
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path)
    except (OSError, ValueError) as problem:  # a name that no file can have
        raise error(f"{named_by or folder}: {shown(str(name))} cannot be the name of a file ({problem})") from None
    if leaves:
        mend = (
            "copy the file into it" if follow_links else "copy the file into it, or set source.follow_links if you made the link"
        )
        raise error(f"{named_by or folder}: {shown(str(name))} leaves the folder {folder}: {mend}")
    return Path(path)
