"""Packed scenes as training reads them: see `training/streaming.py`."""

from __future__ import annotations

import mmap
from dataclasses import replace

import torch

from scenes.sharded import ShardedConfig, ShardedSource
from scenes.shards import PackedScene
from scenes.source import SourceConfig

from ..training import StoredScene, normalized
from ..training.store import with_hulls
from ..training.streaming import SceneStream, Window
from ..types import InputError, SceneTransform
from .common import console, sphere_of
from .taking_up import Settings

PIXELS = ("images", "masks", "hull")  # of a scene: what fills memory, in 8 bits
SAMPLE = 256  # scenes that stand for all: as many as the mean code is of


def streams(source: SourceConfig) -> bool:
    """Whether training scenes are read as they are needed."""
    return isinstance(source, ShardedConfig)


def open_stream(settings: Settings) -> tuple[SceneStream, SourceConfig]:
    """The training scenes, none but a sample read yet, and the configuration with sphere and up axis stated.

    Raises:
        InputError: there are none, or the sample cannot be read.
    """
    source, train = settings.source, settings.experiment.train
    assert isinstance(source, ShardedConfig)
    opened = ShardedSource(source)
    index, shards = opened.index, opened.index.splits["train"]
    if not shards:
        raise InputError(f"{opened.root}: has no training scenes: pack a source that has some")
    sphere = sphere_of(source) or index.sphere
    source = replace(source, center=sphere.center, radius=sphere.radius, near=None, far=None, up=source.up or index.up)
    packed_hulls = sphere == index.sphere

    def read(number: int) -> list[StoredScene]:
        scenes = [_stored(scene, sphere, packed_hulls and train.loss.hull > 0) for scene in opened.read("train", number)]
        return _in_pages_of_its_own(with_hulls(scenes) if train.loss.hull > 0 and not packed_hulls else scenes)

    sample: list[StoredScene] = []
    for number in range(len(shards)):  # scenes were shuffled when they were packed: the first are as good as any
        sample += read(number)
        if len(sample) >= SAMPLE:
            break
    count = sum(shard.scenes for shard in shards)
    window = Window(
        len(shards), max(shard.scenes for shard in shards), source.buffer, source.repeat, train.batch.scenes, train.seed
    )
    console.print(f"{count} training scenes in {len(shards)} shards, {window.length} of them in memory at a time")
    return SceneStream(window, read, sample[:SAMPLE], count, index.digest), source


def _stored(scene: PackedScene, sphere: SceneTransform, hull: bool) -> StoredScene:
    stored = StoredScene(
        scene.key, scene.images, scene.masks, scene.cameras, scene.background, scene.hull if hull else None
    )  # fmt: skip
    return normalized([stored], sphere)[0]


def _in_pages_of_its_own(scenes: list[StoredScene]) -> list[StoredScene]:
    """The scenes with their pixels and hulls in pages that go back to the system when the shard is left.

    Blocks of the heap that come and go between those of training leave holes in it: it grew by most of a shard with each shard.
    """
    pieces = [getattr(scene, name) for scene in scenes for name in PIXELS]
    pages = mmap.mmap(-1, max(1, sum(piece.numel() for piece in pieces if piece is not None)))
    whole, at, moved = torch.frombuffer(pages, dtype=torch.uint8), 0, []
    for piece in pieces:
        if piece is not None:
            piece, at = whole[at : at + piece.numel()].view(piece.shape).copy_(piece), at + piece.numel()
        moved.append(piece)
    kept = [moved[i : i + len(PIXELS)] for i in range(0, len(moved), len(PIXELS))]
    return [replace(scene, **dict(zip(PIXELS, own, strict=True))) for scene, own in zip(scenes, kept, strict=True)]
