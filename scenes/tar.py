"""Tar files of plain, small files: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar).

Nothing is ever unpacked from them: names are keys, and what a name could do to a disk is not asked. All that is not a regular
file is refused; so are the extensions by which names and sizes grow without end, and sparse files. The extended headers that
Python's `tarfile` writes for times are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .source import SceneError

BLOCK = 512
NAME = re.compile(r"[\w-][\w./-]*", re.ASCII)
MAX_NAME = 100  # bytes that a header has for it
_EXTENDED, _GLOBAL = b"x", b"g"
_CHANGES = re.compile(rb"(^|\n)\d+ (path|size|linkpath|GNU\.sparse[^=]*)=")


class Opened(Protocol):
    """An open file, or pages that one was read into."""

    def seek(self, place: int, /) -> object: ...

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Member:
    name: str
    offset: int  # of its first byte in the file
    size: int


def tar_header(name: str, size: int) -> bytes:
    """What stands before a member's contents, which are to be filled up with zeros to whole blocks."""
    fields = [
        (name.encode("ascii"), 100), (b"0000644\0", 8), (b"0000000\0", 8), (b"0000000\0", 8), (b"%011o\0" % size, 12),
        (b"%011o\0" % 0, 12), (b" " * 8, 8), (b"0", 1), (b"", 100), (b"ustar\0", 6), (b"00", 2), (b"", 247),
    ]  # fmt: skip
    header = b"".join(value.ljust(width, b"\0") for value, width in fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def padding(size: int) -> int:
    return -size % BLOCK


def tar_members(file: Opened, size: int, where: str) -> Iterator[Member]:
    """The members of an open tar file of `size` bytes, in order, found by their headers alone.

    Raises:
        SceneError: it is no tar file, is cut off, or has a member that is not a regular file of a plain name; `where` names it.
    """
    place = 0
    while place < size:
        file.seek(place)
        header = file.read(BLOCK)
        if not any(header):
            return  # the end: blocks of zeros
        kind, length = _parsed(header, where)
        place += BLOCK
        if place + length > size:
            raise SceneError(f"{where}: cut off: a member of {length} bytes begins at {place} of {size}")
        if kind in (_EXTENDED, _GLOBAL):
            if length > 16 * BLOCK or _CHANGES.search(file.read(length)):
                raise SceneError(f"{where}: a member's name or size is in an extended header: write it with shorter names")
        else:
            yield Member(_name(header, where), place, length)
        place += length + padding(length)


def _parsed(header: bytes, where: str) -> tuple[bytes, int]:
    """Kind and length of a member."""
    try:
        stated, length = int(header[148:156].strip(b"\0 "), 8), int(header[124:136].strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise SceneError(f"{where}: no tar file, or a damaged one") from None
    counted = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
    if len(header) < BLOCK or stated != counted or length < 0 or header[257:262] != b"ustar":
        raise SceneError(f"{where}: no tar file, or a damaged one")
    kind = header[156:157]
    if kind not in (b"0", b"\0", _EXTENDED, _GLOBAL):
        raise SceneError(f"{where}: has a member that is not a regular file (kind {kind!r}): only such are read")
    return kind, length


def _name(header: bytes, where: str) -> str:
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    parts = [part.decode("ascii", "replace") for part in (prefix, header[:100].split(b"\0", 1)[0]) if part]
    name = "/".join(parts).removeprefix("./")
    if not NAME.fullmatch(name) or ".." in name.split("/"):
        raise SceneError(f"{where}: {name!a} cannot be the name of a member: use letters, digits, and . / _ -")
    return name
