"""Packed scenes as training reads them: see `training/streaming.py`."""

from __future__ import annotations

from dataclasses import replace

from scenes.sharded import ShardedConfig, ShardedSource
from scenes.shards import PackedScene
from scenes.source import SourceConfig

from ..pages import Pages
from ..training import StoredScene, normalized
from ..training.store import with_hulls
from ..training.streaming import SceneStream, Window
from ..types import InputError
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
        """Scene by scene, so that the heap, which is training's, never holds more than one of them."""
        pages = Pages()
        return [_in_pages(pages, stored(scene)) for scene in opened.each("train", number)]

    def stored(packed: PackedScene) -> StoredScene:
        hull = packed.hull if packed_hulls and train.loss.hull > 0 else None
        scene = StoredScene(packed.key, packed.images, packed.masks, packed.cameras, packed.background, hull)
        placed = normalized([scene], sphere)
        return (with_hulls(placed) if train.loss.hull > 0 and not packed_hulls else placed)[0]

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


def _in_pages(pages: Pages, scene: StoredScene) -> StoredScene:
    poses, intrinsics = pages.copied(scene.cameras.camera_to_world), pages.copied(scene.cameras.intrinsics)
    cameras = replace(scene.cameras, camera_to_world=poses, intrinsics=intrinsics)
    masks, hull = (None if value is None else pages.copied(value) for value in (scene.masks, scene.hull))
    images, background = pages.copied(scene.images), pages.copied(scene.background)
    return replace(scene, images=images, masks=masks, cameras=cameras, background=background, hull=hull)
