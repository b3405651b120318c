"""Small valid inputs for every reader, which the campaign then damages. See readers.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image
from safetensors.torch import save_file

from hypernerf.cli.common import parse_config
from hypernerf.config import dump_yaml
from hypernerf.fields import (
    FieldDistribution,
    FieldSpec,
    FieldWeights,
    SceneField,
    initial_weights,
    save_delta_file,
    save_scene_file,
    save_spread,
)
from hypernerf.fields.delta import make_base
from hypernerf.models import Generator
from hypernerf.training.checkpoint import save_checkpoint
from hypernerf.training.continual import VIEWS, Memory
from hypernerf.types import Cameras
from scenes.orbits import surrounding_cameras
from scenes.writing import write_scene

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


def scene_folder(layout: str, *names: str) -> Callable[[Path], None]:
    """Writes scenes `names` into a folder, or makes it one."""

    def make(folder: Path) -> None:
        folder.rmdir()
        for name in names or [""]:
            write_scene(folder / name, layout, PIXELS, surrounding_cameras(np.random.default_rng(0), len(PIXELS), SIZE))

    return make


def written(write: Callable[..., object], **options: bool) -> Callable[[Path], None]:
    """A scene by one of the writers in formats.py."""
    cameras = surrounding_cameras(np.random.default_rng(0), len(PIXELS), SIZE)

    def write_to(folder: Path) -> None:
        write(folder, PIXELS, cameras, **options)

    return write_to


def write_camera_path(path: Path) -> None:
    scene_folder("blender", "scene")(path.parent)
    scene = path.parent / "scene"
    (scene / "transforms.json").rename(path)
    for part in sorted(scene.rglob("*"), reverse=True):
        part.rmdir() if part.is_dir() else part.unlink()
    scene.rmdir()


def write_box(path: Path, textured: bool = True) -> None:
    box = trimesh.creation.box((1, 2, 3))
    if textured:
        material = trimesh.visual.material.SimpleMaterial(image=Image.fromarray(PIXELS[0, ..., :3]))
        box.visual = trimesh.visual.TextureVisuals(uv=np.zeros((len(box.vertices), 2)), material=material)
    (trimesh.Scene(box) if textured else box).export(path)


def write_boxes(folder: Path) -> None:
    for name in ("a.glb", "b.glb", "more/c.obj"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_box(folder / name)


def write_scene_file(path: Path) -> None:
    spec = FieldSpec(width=16, depth=1, position_frequencies=1, plane_resolution=2, plane_channels=1)
    values = initial_weights(spec, torch.Generator().manual_seed(0))
    save_scene_file(path, SceneField("x", FieldWeights(spec, {name: value[None] for name, value in values.items()})))


def some_fields(count: int) -> FieldWeights:
    spec = FieldSpec(width=16, depth=1, position_frequencies=1, plane_resolution=2, plane_channels=1)
    random = torch.Generator().manual_seed(0)
    values = initial_weights(spec, random)
    return FieldWeights(spec, {n: v + 0.1 * torch.randn(count, *v.shape, generator=random) for n, v in values.items()})


def some_memory(count: int) -> Memory:
    cameras = Cameras(torch.eye(4).expand(count, VIEWS, 4, 4), torch.ones(count, VIEWS, 4), 1, 1)
    return Memory(some_fields(count), cameras, torch.ones(count, 3))


def write_delta(folder: Path) -> None:
    weights = some_fields(3)
    save_delta_file(folder / SCENE_FILE, SceneField("x", weights[:1]), make_base(weights))


def write_spread(folder: Path) -> None:
    mean = some_fields(1)
    save_spread(
        folder / SCENE_FILE, FieldDistribution(mean, {n: v[:, None].repeat_interleave(2, 1) for n, v in mean.tensors.items()})
    )


def write_run(folder: Path) -> None:
    torch.manual_seed(0)
    write_config(folder / "config.yaml")
    generator = Generator(parse_config(MODEL, "")[1].generator)
    assert generator.lift is not None
    lifted = generator.lift.shape
    write_weights(folder, {
        **{f"generator.{name}": value for name, value in generator.state_dict().items()},
        "mean_code.latent": torch.zeros(1, 8), "mean_image": torch.zeros(4, 4, 3),
        "mean_code.learned": torch.zeros(1, lifted.features, *(lifted.size,) * 3),
        "mean_code.seen": torch.zeros(1, lifted.places, lifted.colors),
    })  # fmt: skip


def write_config(path: Path) -> None:
    path.write_text(dump_yaml(MODEL))


def write_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Without the digest that would refuse most damage at once."""
    (folder / "checkpoints").mkdir()
    save_file(tensors, folder / "checkpoints" / "step_00000001.safetensors")


def write_state(folder: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "occupancy": None, "names": ("a", [1], 0.5)}
    save_checkpoint(folder, 1, {"x": torch.zeros(1)}, state)
    (folder / "checkpoints" / "step_00000001.safetensors").unlink()
