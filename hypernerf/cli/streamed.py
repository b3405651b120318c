"""Packed scenes as training reads them: see `training/streaming.py`."""

from __future__ import annotations

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
        return _in_one_piece(with_hulls(scenes) if train.loss.hull > 0 and not packed_hulls else scenes)

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


def _in_one_piece(scenes: list[StoredScene]) -> list[StoredScene]:
    """The scenes with their images beside each other in memory: thousands of small pieces that come and go leave holes in it."""
    images = torch.cat([scene.images for scene in scenes]).split([len(scene) for scene in scenes])
    return [replace(scene, images=own) for scene, own in zip(scenes, images, strict=True)]
