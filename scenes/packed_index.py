"""`index.json` of a packed collection: its shards by split, and what holds for all of its scenes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hypernerf.reading import inside, read_json
from hypernerf.types import InputError, SceneTransform

from .shards import MAX_SHARD, Shard
from .source import MAX_SIDE, SPLITS, Split

FILE = "index.json"
LIMIT = 1 << 26  # bytes: of more than 400,000 shards
FORMAT, VERSION = "hypernerf-packed", 1
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class PackedIndex:
    """Scene sphere and up axis are those of the training scenes, in the units and axes of the source."""

    height: int
    width: int
    background: Triple
    center: Triple
    radius: float
    up: Triple
    splits: dict[Split, tuple[Shard, ...]]

    @property
    def sphere(self) -> SceneTransform:
        return SceneTransform(self.center, self.radius)

    @property
    def digest(self) -> str:
        """Of all that is in the collection."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=0) + "\n"


def read_index(folder: Path, follow_links: bool = False) -> PackedIndex:
    """The index of the collection in `folder`. Raises `InputError` when it is missing or cannot be one."""
    path = inside(folder, FILE, follow_links=follow_links)
    if not folder.is_dir() or not path.exists():
        raise InputError(f"{path}: no packed scenes there: check source.root, or make them by tools/pack_scenes.py")
    values = read_json(path, LIMIT)
    try:
        if (values["format"], values["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format and version must be {FORMAT} and {VERSION}")
        sides = [_whole(values[key], 1, MAX_SIDE) for key in ("height", "width")]
        background, center, up = (_triple(values[key]) for key in ("background", "center", "up"))
        splits = {split: tuple(_shard(entry) for entry in values["splits"][split]) for split in SPLITS}
        sphere = SceneTransform(center, float(values["radius"]))
    except (KeyError, TypeError, ValueError, OverflowError, InputError) as error:
        raise InputError(f"{path}: no index of packed scenes ({type(error).__name__}: {error}): pack anew") from None
    if not any(splits.values()):
        raise InputError(f"{path}: lists no shard: pack anew")
    return PackedIndex(sides[0], sides[1], background, sphere.center, sphere.radius, up, splits)


def _whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{value} must be a whole number from {low} to {high}")
    return value


def _triple(value: Any) -> Triple:
    x, y, z = map(float, value)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError("a number is not finite")
    return (x, y, z)


def _shard(entry: Any) -> Shard:
    file, digest = entry["file"], entry["blake2b"]
    if not re.fullmatch(r"[\w-]{1,80}\.tar", str(file), re.ASCII) or not re.fullmatch(r"[0-9a-f]{32}", str(digest)):
        raise ValueError("a shard has a plain name that ends in .tar, and a digest of 32 hexadecimal digits")
    return Shard(file, _whole(entry["scenes"], 1, 1 << 20), _whole(entry["bytes"], 1, MAX_SHARD), digest)
