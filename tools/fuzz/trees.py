"""Damage to a small folder in memory: to the bytes of its files, and to what stands in their places."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from random import Random

from .binary import BY_SUFFIX, damaged_bytes
from .texts import NAMES

Entry = bytes | Callable[[Path], object]  # a file's contents, or what makes something else in its place
Tree = dict[str, Entry]  # by path inside the folder
MARK = "pwned"  # made in the working directory by whoever runs the pickle


class Payload:
    """What a pickle that runs code looks like."""

    def __reduce__(self):
        return os.mkdir, (MARK,)


PICKLES = tuple(pickle.dumps(value, protocol) for value in (Payload(), {"x": Payload()}) for protocol in (0, 2, 4))
NOTHING = (b"", b"\0" * 4096, b"\xff\xfe", b"{}", b"[]", b"null")
FILE_NAMES = (*(n for n in NAMES if n.isascii() and 2 < len(n) < 200 and not {"/", "\0"} & {*n}), "\udcff")


def read_tree(folder: Path) -> Tree:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write_tree(folder: Path, tree: Tree) -> None:
    """Writes `tree`; an entry that does not go with the others (a file in what became a file) is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, entry in tree.items():
        with suppress(FileExistsError, NotADirectoryError):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(entry) if isinstance(entry, bytes) else entry(path)


def damaged(seed: Tree, random: Random, given: tuple[str, ...] = ()) -> Tree:
    """A copy of `seed` with one to three pieces of damage. What matches `given` becomes no link to elsewhere."""
    tree = dict(seed)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not tree:
            break
        name = random.choice(list(tree))
        data = tree[name]
        if random.random() < 0.12 or not isinstance(data, bytes):
            _damage_place(tree, name, random, given)
            continue
        known = BY_SUFFIX.get(os.path.splitext(name)[1], ())
        try:
            tree[name] = (random.choice(known) if known and random.random() < 0.65 else damaged_bytes)(data, random)
        except Exception:  # what is damaged already may not be of its format any more
            tree[name] = damaged_bytes(data, random)
    return tree


def _damage_place(tree: Tree, name: str, random: Random, given: tuple[str, ...]) -> None:
    """A file becomes something else, another one, a pickle, or gets a name that is none; or a folder becomes a file."""
    top, _, below = name.partition("/")
    suffix = os.path.splitext(name)[1]
    match random.randrange(8):
        case 0:
            del tree[name]
        case 1:
            tree[name] = random.choice((Path.mkdir, os.mkfifo, _holes))
        case 2:
            up = "../" * (name.count("/") + 1)
            outside = [] if _matches(name, given) else [f"{up}outside{suffix}", "/etc/passwd", "/proc/self/mem"]
            tree[name] = _link(random.choice(["/dev/zero", "/dev/null", os.path.basename(name), "..", *outside]))
        case 3:
            tree[name] = random.choice(list(tree.values()))
        case 4:
            tree[name] = random.choice(PICKLES)
        case 5:
            tree[name] = random.choice(NOTHING)
        case 6 if below:
            for other in [other for other in tree if other.startswith(f"{top}/")]:
                del tree[other]
            tree[top] = random.choice((b"x", os.mkfifo, Path.mkdir, _link("." if _matches(top, given) else f"../outside_{top}")))
        case _:
            tree[os.path.join(os.path.dirname(name), random.choice(FILE_NAMES) + suffix)] = tree.pop(name)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _link(target: str) -> Entry:
    return partial(os.symlink, target)


def _holes(path: Path) -> None:
    """A terabyte of nothing."""
    path.touch()
    os.truncate(path, 1 << 40)
