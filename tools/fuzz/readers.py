"""Every reader of files that may come from somebody else: how to write a small valid input, and how to read it.

A new reader is one more entry of `READERS`; a format of its own may get its own damage in `BY_SUFFIX` (binary.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from hypernerf.cli.common import open_source, parse_config
from hypernerf.cli.session import load_run
from hypernerf.config import load_yaml
from hypernerf.fields import (
    load_scene_file,
    load_spread,
)
from hypernerf.training.checkpoint import load_checkpoint, load_state
from hypernerf.training.continual import load_memory, save_memory
from scenes.blender import BlenderConfig, load_blender_scene
from scenes.cache import cached_pixels, save_pixels
from scenes.camera_path import read_camera_path
from scenes.detect import load_scene_folder
from scenes.images import read_image
from scenes.learnit import LearnitConfig
from scenes.loading import load_split
from scenes.mesh_file import load_mesh
from scenes.meshes import MeshesConfig
from scenes.sharded import ShardedConfig, ShardedSource
from scenes.shards import read_shard
from scenes.source import SPLITS, SourceConfig, check_scene
from scenes.srn import SrnConfig, load_srn_scene, read_intrinsics

from . import seeds
from .formats import write_collection, write_colmap, write_learnit, write_nmr, write_packed, write_photos
from .seeds import PIXELS, SCENE_FILE

WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Reader:
    """`make` writes a small valid input into an empty folder; `read` reads it, and may raise `InputError` and nothing else.

    `given` are patterns of files and folders whose place the user says: if they are links, they may lead elsewhere.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    given: tuple[str, ...] = ()


def _file(name: str, file: str, make: Callable[[Path], object], read: Callable[[Path], object]) -> Reader:
    """A reader of a single file."""
    return Reader(name, lambda folder: make(folder / file), lambda folder: read(folder / file), (file,))


def _source(
    name: str, make: Callable[[Path], object], config: Callable[[Path], SourceConfig], given: tuple[str, ...] = ()
) -> Reader:
    """A reader of many scenes: all its splits are loaded."""

    def read(folder: Path) -> None:
        settings = config(folder)
        source = open_source(settings)
        for split in SPLITS:
            list(load_split(source, settings, split, on_problem=lambda problem: None, workers=1))

    return Reader(name, make, read, given)


def _image(suffix: str) -> Reader:
    image = Image.fromarray(PIXELS[0]).convert("RGB" if suffix == "jpg" else "RGBA")
    return _file(f"image-{suffix}", f"image.{suffix}", image.save, lambda path: read_image(path, WHITE))


def _meshes_config(folder: Path) -> MeshesConfig:
    cache = str(folder / "cache")
    return MeshesConfig(name="meshes", root=str(folder), views=1, size=4, supersample=1, min_views=1, test_share=0.3, cache=cache)


def _all_packed(folder: Path) -> None:
    source = ShardedSource(ShardedConfig(name="sharded", root=str(folder)))
    for split in SPLITS:
        for name in source.scene_ids(split):
            check_scene(source.load(name))
        for number in range(len(source.index.splits[split])):
            source.read(split, number)


def _any_scene(folder: Path) -> object:
    return check_scene(load_scene_folder(folder, WHITE))


READERS = (
    _image("png"),
    _image("jpg"),
    _image("webp"),
    _file(
        "srn-intrinsics", "intrinsics.txt",
        lambda path: path.write_text("10.5 4 4 0.\n0. 0. 0.\n1.\n8 8\n"), read_intrinsics,
    ),
    Reader("srn-scene", seeds.scene_folder("srn"), lambda folder: check_scene(load_srn_scene(folder, WHITE))),
    Reader("blender-scene", seeds.scene_folder("blender"), lambda folder: check_scene(load_blender_scene(folder, WHITE))),
    Reader("nerfstudio-scene", seeds.scene_folder("nerfstudio"), _any_scene),
    Reader("colmap-text", seeds.written(write_colmap, binary=False), _any_scene),
    Reader("colmap-binary", seeds.written(write_colmap, binary=True), _any_scene),
    Reader("nmr-scene", seeds.written(write_nmr), _any_scene),
    _source(
        "learnit-folders", seeds.written(write_learnit),
        lambda folder: LearnitConfig(name="learnit", root=str(folder), min_views=1),
    ),
    Reader("photos", seeds.written(write_photos), _any_scene),
    Reader("unknown-scene", seeds.scene_folder("blender"), _any_scene),
    _source(
        "srn-folders", seeds.scene_folder("srn", "x_train/a", "x_train/b", "x_test/a", "x_test/b"),
        lambda folder: SrnConfig(name="srn", root=str(folder / "x"), min_views=1), ("x_train", "x_test"),
    ),
    _source(
        "blender-folders", seeds.scene_folder("blender", *"abc"),
        lambda folder: BlenderConfig(name="blender", root=str(folder), min_views=1),
    ),
    _source("meshes-folders", seeds.write_boxes, _meshes_config),
    Reader(
        "shard", seeds.written(lambda folder, *scene: write_packed(folder / "x.tar", *scene)),
        lambda folder: read_shard(folder / "x.tar"), ("x.tar",),
    ),
    Reader("packed-scenes", seeds.written(write_collection), _all_packed),
    _file("camera-path", "path.json", seeds.write_camera_path, read_camera_path),
    _file("mesh-glb", "box.glb", seeds.write_box, load_mesh),
    _file("mesh-obj", "box.obj", seeds.write_box, load_mesh),
    _file("mesh-ply", "box.ply", partial(seeds.write_box, textured=False), load_mesh),
    _file(
        "render-cache", "x.npy",
        lambda path: save_pixels(path, PIXELS), lambda path: cached_pixels(path, PIXELS.shape),
    ),
    _file("scene-file", SCENE_FILE, seeds.write_scene_file, load_scene_file),
    Reader("delta-file", seeds.write_delta, lambda folder: load_scene_file(folder / SCENE_FILE), (SCENE_FILE, "base*")),
    Reader(
        "spread", seeds.write_spread,
        lambda folder: load_spread(folder / SCENE_FILE, seeds.some_fields(1)), ("scene.spread*",),
    ),
    _file(
        "memory", "memory.safetensors",
        lambda path: save_memory(path, [seeds.some_memory(2)]), lambda path: load_memory(path, seeds.some_fields(1).spec),
    ),
    Reader("checkpoint", lambda folder: seeds.write_weights(folder, {"x": torch.rand(2, 3)}), load_checkpoint, ("checkpoints*",)),
    Reader("training-state", seeds.write_state, lambda folder: load_state(folder, 1), ("checkpoints*",)),
    _file("config", "config.yaml", seeds.write_config, lambda path: parse_config(load_yaml(path), str(path))),
    Reader("run", seeds.write_run, load_run, ("config.yaml", "checkpoints*")),
)  # fmt: skip
