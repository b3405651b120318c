"""A large packed collection, cheaply: some procedural scenes, and each of them again and again in other colors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from itertools import chain, count, islice, permutations
from pathlib import Path

from hypernerf.cli import pack_scenes
from hypernerf.config import dump_yaml
from scenes.packed_index import FILE
from scenes.sharded import ShardedConfig, ShardedSource
from scenes.shards import PackedScene, Shard, scene_members, write_shard
from scenes.source import Split

DISTINCT = 500
ORDERS = tuple(permutations(range(3)))  # of red, green and blue


def make_collection(folder: Path, scenes: int, size: int, views: int, shard_scenes: int) -> None:
    """Packs `scenes` training scenes, of up to `DISTINCT` shapes, and 8 scenes to validate and 8 to test on."""
    with tempfile.TemporaryDirectory(prefix="stream-check-") as scratch:
        config, packed = Path(scratch) / "config.yaml", Path(scratch) / "packed"
        counts = {"train_scenes": min(scenes, DISTINCT), "val_scenes": 8, "test_scenes": 8}
        source = {"name": "procedural", "size": size, "views": views, "cache": f"{scratch}/cache", **counts}
        config.write_text(dump_yaml({"source": source}))
        with redirect_stdout(StringIO()):
            pack_scenes.main([str(config), str(packed)])
        few = ShardedSource(ShardedConfig(name="sharded", root=str(packed)))
        copies = islice(_copies(few), scenes)
        train = []
        for number, first in enumerate(copies):
            train.append(write_shard(folder / f"train-{number:06d}.tar", chain([first], islice(copies, shard_scenes - 1))))
        unseen: tuple[Split, ...] = ("val", "test")
        others = {split: tuple(_copied(packed, folder, shard) for shard in few.index.splits[split]) for split in unseen}
    index = replace(few.index, splits={"train": tuple(train), **others})
    (folder / FILE).write_text(index.to_json())


def _copies(few: ShardedSource) -> Iterator[list[tuple[str, bytes]]]:
    """The members of all scenes in their own colors, then of all in another order of colors, and so on without end."""
    scenes = [scene for shard in range(len(few.index.splits["train"])) for scene in few.read("train", shard)]
    known: dict[tuple[int, int], list[tuple[str, bytes]]] = {}  # so that no image is compressed twice
    for number in count():
        for place, scene in enumerate(scenes):
            which = number % len(ORDERS)
            if (place, which) not in known:
                known[place, which] = scene_members(_recolored(scene, list(ORDERS[which])))
            yield [(name.replace(".", f"-{number:05d}.", 1), data) for name, data in known[place, which]]


def _recolored(scene: PackedScene, order: list[int]) -> PackedScene:
    return replace(scene, images=scene.images[..., order], background=scene.background[order])


def _copied(source: Path, folder: Path, shard: Shard) -> Shard:
    (folder / shard.file).write_bytes((source / shard.file).read_bytes())
    return shard
