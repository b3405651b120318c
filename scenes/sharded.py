"""Scenes packed in tar files by tools/pack_scenes.py: as many as a disk holds, read a shard at a time. See docs/packed.md.

They are read by this project's own code, and not by the `webdataset` package, whose layout it is: a run taken up again must see
at each step what it would have seen, and files of strangers are to be refused with one line. Whole shards are for training;
single scenes are found by the shards' headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypernerf.reading import inside, open_regular
from hypernerf.types import InputError, SceneViews

from .folders import require_root
from .packed_index import read_index
from .shards import MAX_SHARD, PackedScene, SceneMembers, Shard, each_scene, read_scene, scenes_in
from .source import SPLITS, SceneError, SourceConfig, Split, changed_reading, register_source


@dataclass(frozen=True)
class ShardedConfig(SourceConfig):
    """`root` is a folder that tools/pack_scenes.py made. How its images were read is settled."""

    buffer: int = 2048  # training scenes in memory at a time, in whole shards; batches are drawn from them
    repeat: int = 8  # how often a scene is drawn, on average, while it is there: more means less reading and less variety

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.buffer, self.repeat) < 1:
            raise InputError(f"source.buffer and source.repeat must be at least 1, not {self.buffer} and {self.repeat}")
        if changed := changed_reading(self):
            raise InputError(f"source.{changed[0]}: packed scenes are read as they are: give it to tools/pack_scenes.py")


@register_source("sharded", ShardedConfig)
class ShardedSource:
    def __init__(self, config: ShardedConfig) -> None:
        self.config = config
        self.root = Path(require_root(config.root, "sharded"))
        self.index = read_index(self.root, config.follow_links)
        if any(abs(a - b) > 1e-6 for a, b in zip(self.index.background, config.background, strict=True)):
            stated = " ".join(f"{value:g}" for value in self.index.background)
            raise InputError(f"{self.root}: its scenes were packed over another background: set source.background {stated}")
        self._places: dict[Split, dict[str, tuple[Shard, SceneMembers]]] = {}

    def each(self, split: Split, number: int) -> Iterator[PackedScene]:
        """The scenes of a shard, one after the other. Raises `SceneError` unless it is what was packed."""
        shard = self.index.splits[split][number]
        for scene in each_scene(self._path(shard), shard):
            self._check_size(shard, scene)
            yield scene

    def read(self, split: Split, number: int) -> list[PackedScene]:
        """All of them at once."""
        return list(self.each(split, number))

    def scene_ids(self, split: Split) -> list[str]:
        return list(self._found(split))

    def load(self, scene_id: str) -> SceneViews:
        for split in SPLITS:
            if scene_id in self._found(split):
                shard, members = self._found(split)[scene_id]
                path = self._path(shard)
                with open_regular(path, MAX_SHARD, SceneError) as file:
                    scene = read_scene(file, members, str(path))
                self._check_size(shard, scene)
                return scene.views()
        raise SceneError(f"{self.root}: no scene {scene_id!r} in it")

    def _found(self, split: Split) -> dict[str, tuple[Shard, SceneMembers]]:
        """Where each scene of a split is, by the headers of its shards. Raises `InputError` when one cannot be read."""
        if split not in self._places:
            places: dict[str, tuple[Shard, SceneMembers]] = {}
            for shard in self.index.splits[split]:
                path = self._path(shard)
                with open_regular(path, shard.bytes, SceneError) as file:
                    found = [(scene.key, (shard, scene)) for scene in scenes_in(file, shard.bytes, str(path))]
                if len(found) != shard.scenes or len({key for key, _ in found} - places.keys()) != shard.scenes:
                    raise SceneError(f"{path}: does not have {shard.scenes} scenes of names of their own: pack anew")
                places.update(found)
            self._places[split] = places
        return self._places[split]

    def _path(self, shard: Shard) -> Path:
        return inside(self.root, shard.file, follow_links=self.config.follow_links, error=SceneError)

    def _check_size(self, shard: Shard, scene: PackedScene) -> None:
        here, stated = (scene.cameras.height, scene.cameras.width), (self.index.height, self.index.width)
        if here != stated:
            raise SceneError(f"{self.root / shard.file}: {scene.key} has images of {here}, not {stated}: pack anew")
