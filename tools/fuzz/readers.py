"""Every reader of files that may come from somebody else: how to write a small valid input, and how to read it.

A new reader is one more entry of `READERS`; a format of its own may get its own damage in `BY_SUFFIX` (binary.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image
from safetensors.torch import save_file

from hypernerf.cli.common import open_source, parse_config
from hypernerf.cli.session import load_run
from hypernerf.config import dump_yaml, load_yaml
from hypernerf.fields import (
    FieldDistribution,
    FieldSpec,
    FieldWeights,
    SceneField,
    initial_weights,
    load_scene_file,
    load_spread,
    save_delta_file,
    save_scene_file,
    save_spread,
)
from hypernerf.fields.delta import make_base
from hypernerf.models import Generator
from hypernerf.training.checkpoint import load_checkpoint, load_state, save_checkpoint
from hypernerf.training.continual import VIEWS, Memory, load_memory, save_memory
from hypernerf.types import Cameras
from scenes.blender import BlenderConfig, load_blender_scene
from scenes.cache import cached_pixels, save_pixels
from scenes.camera_path import read_camera_path
from scenes.detect import load_scene_folder
from scenes.images import read_image
from scenes.learnit import LearnitConfig
from scenes.loading import load_split
from scenes.mesh_file import load_mesh
from scenes.meshes import MeshesConfig
from scenes.orbits import surrounding_cameras
from scenes.sharded import ShardedConfig, ShardedSource
from scenes.shards import read_shard
from scenes.source import SPLITS, SourceConfig, check_scene
from scenes.srn import SrnConfig, load_srn_scene, read_intrinsics
from scenes.writing import write_scene

from .formats import write_collection, write_colmap, write_learnit, write_nmr, write_packed, write_photos

WHITE = (1.0, 1.0, 1.0)
SIZE = 8  # pixels along a side of the seeds' images
PIXELS = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 4), dtype=np.uint8)
SCENE_FILE = "scene.field.safetensors"
MODEL = {
    "source": {"name": "procedural", "radius": 1.0, "center": [0, 0, 0], "size": 16},
    "encoder": {"image": {"image_size": 16, "channels": [8]}, "set": {"width": 16}, "lift": {"resolution": 4, "channels": 8}},
    "hypernetwork": {"latent": 8, "width": 16, "rank": 1},
    "field": {"width": 16, "depth": 1, "position_frequencies": 1, "plane_resolution": 4, "volume_resolution": 4},
    "train": {"steps": 10, "learning_rate": "1e-3", "minutes": 0.5},
    "evaluate": {"context": {2: [0, 1]}, "context_views": [1, 3]},
}


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
            list(load_split(source, settings, split, on_problem=str, workers=1))

    return Reader(name, make, read, given)


def _image(suffix: str) -> Reader:
    image = Image.fromarray(PIXELS[0]).convert("RGB" if suffix == "jpg" else "RGBA")
    return _file(f"image-{suffix}", f"image.{suffix}", image.save, lambda path: read_image(path, WHITE))


def _scene(layout: str, *names: str) -> Callable[[Path], None]:
    """Writes scenes `names` into a folder, or makes it one."""

    def make(folder: Path) -> None:
        folder.rmdir()
        for name in names or [""]:
            write_scene(folder / name, layout, PIXELS, surrounding_cameras(np.random.default_rng(0), len(PIXELS), SIZE))

    return make


def _written(write: Callable[..., None], **options: bool) -> Callable[[Path], None]:
    """A scene by one of the writers in formats.py."""
    cameras = surrounding_cameras(np.random.default_rng(0), len(PIXELS), SIZE)
    return lambda folder: write(folder, PIXELS, cameras, **options)


def _path(path: Path) -> None:
    _scene("blender", "scene")(path.parent)
    scene = path.parent / "scene"
    (scene / "transforms.json").rename(path)
    for part in sorted(scene.rglob("*"), reverse=True):
        part.rmdir() if part.is_dir() else part.unlink()
    scene.rmdir()


def _box(path: Path, textured: bool = True) -> None:
    box = trimesh.creation.box((1, 2, 3))
    if textured:
        material = trimesh.visual.material.SimpleMaterial(image=Image.fromarray(PIXELS[0, ..., :3]))
        box.visual = trimesh.visual.TextureVisuals(uv=np.zeros((len(box.vertices), 2)), material=material)
    (trimesh.Scene(box) if textured else box).export(path)


def _boxes(folder: Path) -> None:
    for name in ("a.glb", "b.glb", "more/c.obj"):
        (folder / name).parent.mkdir(exist_ok=True)
        _box(folder / name)


def _meshes_config(folder: Path) -> MeshesConfig:
    cache = str(folder / "cache")
    return MeshesConfig(name="meshes", root=str(folder), views=1, size=4, supersample=1, min_views=1, test_share=0.3, cache=cache)


def _scene_file(path: Path) -> None:
    spec = FieldSpec(width=16, depth=1, position_frequencies=1, plane_resolution=2, plane_channels=1)
    values = initial_weights(spec, torch.Generator().manual_seed(0))
    save_scene_file(path, SceneField("x", FieldWeights(spec, {name: value[None] for name, value in values.items()})))


def _fields(count: int) -> FieldWeights:
    spec = FieldSpec(width=16, depth=1, position_frequencies=1, plane_resolution=2, plane_channels=1)
    random = torch.Generator().manual_seed(0)
    values = initial_weights(spec, random)
    return FieldWeights(spec, {n: v + 0.1 * torch.randn(count, *v.shape, generator=random) for n, v in values.items()})


def _memory(count: int) -> Memory:
    cameras = Cameras(torch.eye(4).expand(count, VIEWS, 4, 4), torch.ones(count, VIEWS, 4), 1, 1)
    return Memory(_fields(count), cameras, torch.ones(count, 3))


def _delta(folder: Path) -> None:
    weights = _fields(3)
    save_delta_file(folder / SCENE_FILE, SceneField("x", weights[:1]), make_base(weights))


def _spread(folder: Path) -> None:
    mean = _fields(1)
    save_spread(
        folder / SCENE_FILE, FieldDistribution(mean, {n: v[:, None].repeat_interleave(2, 1) for n, v in mean.tensors.items()})
    )


def _run(folder: Path) -> None:
    torch.manual_seed(0)
    _config(folder / "config.yaml")
    generator = Generator(parse_config(MODEL, "")[1].generator)
    assert generator.lift is not None
    lifted = generator.lift.shape
    _weights(folder, {
        **{f"generator.{name}": value for name, value in generator.state_dict().items()},
        "mean_code.latent": torch.zeros(1, 8), "mean_image": torch.zeros(4, 4, 3),
        "mean_code.learned": torch.zeros(1, lifted.features, *(lifted.size,) * 3),
        "mean_code.seen": torch.zeros(1, lifted.places, lifted.colors),
    })  # fmt: skip


def _config(path: Path) -> None:
    path.write_text(dump_yaml(MODEL))


def _weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Without the digest that would refuse most damage at once."""
    (folder / "checkpoints").mkdir()
    save_file(tensors, folder / "checkpoints" / "step_00000001.safetensors")


def _state(folder: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "occupancy": None, "names": ("a", [1], 0.5)}
    save_checkpoint(folder, 1, {"x": torch.zeros(1)}, state)
    (folder / "checkpoints" / "step_00000001.safetensors").unlink()


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
    Reader("srn-scene", _scene("srn"), lambda folder: check_scene(load_srn_scene(folder, WHITE))),
    Reader("blender-scene", _scene("blender"), lambda folder: check_scene(load_blender_scene(folder, WHITE))),
    Reader("nerfstudio-scene", _scene("nerfstudio"), _any_scene),
    Reader("colmap-text", _written(write_colmap, binary=False), _any_scene),
    Reader("colmap-binary", _written(write_colmap, binary=True), _any_scene),
    Reader("nmr-scene", _written(write_nmr), _any_scene),
    _source(
        "learnit-folders", _written(write_learnit),
        lambda folder: LearnitConfig(name="learnit", root=str(folder), min_views=1),
    ),
    Reader("photos", _written(write_photos), _any_scene),
    Reader("unknown-scene", _scene("blender"), _any_scene),
    _source(
        "srn-folders", _scene("srn", "x_train/a", "x_train/b", "x_test/a", "x_test/b"),
        lambda folder: SrnConfig(name="srn", root=str(folder / "x"), min_views=1), ("x_train", "x_test"),
    ),
    _source(
        "blender-folders", _scene("blender", *"abc"),
        lambda folder: BlenderConfig(name="blender", root=str(folder), min_views=1),
    ),
    _source("meshes-folders", _boxes, _meshes_config),
    Reader(
        "shard", _written(lambda folder, *scene: write_packed(folder / "x.tar", *scene)),
        lambda folder: read_shard(folder / "x.tar"), ("x.tar",),
    ),
    Reader("packed-scenes", _written(write_collection), _all_packed),
    _file("camera-path", "path.json", _path, read_camera_path),
    _file("mesh-glb", "box.glb", _box, load_mesh),
    _file("mesh-obj", "box.obj", _box, load_mesh),
    _file("mesh-ply", "box.ply", partial(_box, textured=False), load_mesh),
    _file(
        "render-cache", "x.npy",
        lambda path: save_pixels(path, PIXELS), lambda path: cached_pixels(path, PIXELS.shape),
    ),
    _file("scene-file", SCENE_FILE, _scene_file, load_scene_file),
    Reader("delta-file", _delta, lambda folder: load_scene_file(folder / SCENE_FILE), (SCENE_FILE, "base*")),
    Reader("spread", _spread, lambda folder: load_spread(folder / SCENE_FILE, _fields(1)), ("scene.spread*",)),
    _file(
        "memory", "memory.safetensors",
        lambda path: save_memory(path, [_memory(2)]), lambda path: load_memory(path, _fields(1).spec),
    ),
    Reader("checkpoint", lambda folder: _weights(folder, {"x": torch.rand(2, 3)}), load_checkpoint, ("checkpoints*",)),
    Reader("training-state", _state, lambda folder: load_state(folder, 1), ("checkpoints*",)),
    _file("config", "config.yaml", _config, lambda path: parse_config(load_yaml(path), str(path))),
    Reader("run", _run, load_run, ("config.yaml", "checkpoints*")),
)  # fmt: skip
