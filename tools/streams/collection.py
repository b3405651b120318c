"""A large packed collection, cheaply: some procedural scenes, and each of them again and again in other colors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from itertools import chain, islice, permutations
from pathlib import Path

from hypernerf.cli import pack_scenes
from hypernerf.config import dump_yaml
from scenes.packed_index import FILE
from scenes.sharded import ShardedConfig, ShardedSource
from scenes.shards import PackedScene, Shard, scene_members, write_shard

DISTINCT = 1000
ORDERS = tuple(permutations(range(3)))  # of red, green and blue


def make_collection(folder: Path, scenes: int, size: int, views: int, shard_scenes: int) -> None:
    """Packs `scenes` training scenes, of which up to 1,000 are of different shapes, and 8 scenes to validate and 8 to test on."""
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
            part = (scene_members(scene) for scene in chain([first], islice(copies, shard_scenes - 1)))
            train.append(write_shard(folder / f"train-{number:06d}.tar", part))
        others = {split: tuple(_copied(packed, folder, shard) for shard in few.index.splits[split]) for split in ("val", "test")}
    index = replace(few.index, splits={"train": tuple(train), **others})
    (folder / FILE).write_text(index.to_json())


def _copies(few: ShardedSource) -> Iterator[PackedScene]:
    """All scenes in their own colors, then all in others, and so on without end."""
    number = 0
    while True:
        order = list(ORDERS[number % len(ORDERS)])
        for shard in range(len(few.index.splits["train"])):
            for scene in few.read("train", shard):
                yield replace(
                    scene, key=f"{scene.key}-{number:05d}", images=scene.images[..., order], background=scene.background[order]
                )
        number += 1


def _copied(source: Path, folder: Path, shard: Shard) -> Shard:
    (folder / shard.file).write_bytes((source / shard.file).read_bytes())
    return shard
