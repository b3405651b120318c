"""Shared fixtures. Nothing here needs a file that is not made on the spot."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

import pytest
import torch

from hypernerf.cli.fit import load_training
from hypernerf.cli.taking_up import Settings
from hypernerf.config import dump_yaml, to_dict
from hypernerf.fields import FieldSpec, FieldWeights, SceneField, initial_weights
from hypernerf.geometry import orbit_cameras
from hypernerf.models import EncoderConfig, HypernetworkConfig, ImageEncoderConfig, LiftConfig, SetEncoderConfig, SizesConfig
from hypernerf.training import Experiment, TrainConfig, Trainer, store_scene
from hypernerf.training.batches import BatchConfig
from hypernerf.types import Cameras, SceneTransform
from scenes.procedural import ProceduralConfig, ProceduralSource
from scenes.writing import write_scene

THREADS = int(os.environ.get("OMP_NUM_THREADS", 2))  # where cores are shared, two that wait for each other take very long
torch.set_num_threads(THREADS)

# Set before test modules are read, which may open sources: nothing is taken from the user's own cache, which may be older.
CACHE = tempfile.TemporaryDirectory(prefix="hypernerf-tests-")
os.environ["HYPERNERF_CACHE"] = CACHE.name


@pytest.fixture
def _one_thread():
    """For tiny models: threads wait for each other longer than they work."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def stored():
    source = ProceduralSource(ProceduralConfig(size=16, views=6, train_scenes=4))
    return [store_scene(source.load(name)) for name in source.scene_ids("train")]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A run as tools/fit_scenes.py leaves it, but for its report, trained for about two seconds. Not to be written to."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    (folder / "checkpoints").mkdir(parents=True)
    training, source = load_training(ProceduralConfig(size=16, views=6, train_scenes=8, val_scenes=2, test_scenes=4))
    experiment = tiny(steps=120, learning_rate=5e-3, threads=1)
    (folder / "config.yaml").write_text(dump_yaml(Settings(source, experiment).to_dict()))
    assert Trainer(experiment, training, folder).run(lambda report: None, lambda trainer: None)
    torch.set_num_threads(THREADS)
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Twelve posed images of a chair, as nerfstudio has them. Not to be written to."""
    folder = tmp_path_factory.mktemp("photos") / "my_chair"
    views = ProceduralSource(ProceduralConfig(size=32, views=12, test_scenes=1)).load("test-chairs-00000")
    assert views.masks is not None
    pixels = torch.cat([views.images, views.masks[..., None]], -1).mul(255).round().to(torch.uint8).numpy()
    write_scene(folder, "nerfstudio", pixels, views.cameras)
    return folder


@pytest.fixture(scope="session")
def sized_run(tmp_path_factory, stored):
    """A few steps of a run whose fields have the widths 16, 32 and 2 or 3 hidden layers."""
    folder = tmp_path_factory.mktemp("sizes")
    experiment = tiny(steps=6)
    field = dataclasses.replace(experiment.field, width=32, depth=3)
    experiment = dataclasses.replace(experiment, field=field, sizes=SizesConfig((16,), (2,)))
    source = {"name": "procedural", "size": 16, "views": 6, "train_scenes": 4, "test_scenes": 2, "val_scenes": 2}
    torch.set_num_threads(1)  # as `_one_thread`
    assert Trainer(experiment, stored, folder).run(lambda report: None, lambda trainer: None)
    torch.set_num_threads(THREADS)
    source |= {"center": [0.0, 0.0, 0.0], "radius": 1.0}
    values = {"source": source, **to_dict(experiment), "render": {"samples": 8, "grid": 16}}
    (folder / "config.yaml").write_text(dump_yaml(values))
    return folder


@pytest.fixture
def cameras() -> Cameras:
    return orbit(4)


def tiny(**train) -> Experiment:
    return Experiment(
        encoder=EncoderConfig(ImageEncoderConfig(16, (8, 16)), SetEncoderConfig(width=32), LiftConfig(4, 8)),
        hypernetwork=HypernetworkConfig(latent=16, width=32, rank=2),
        field=FieldSpec(width=16, depth=2, position_frequencies=2, plane_resolution=6, plane_channels=2, volume_resolution=4),
        train=TrainConfig(**{"steps": 20, "samples": 8, "device": "cpu", "batch": BatchConfig(scenes=3, rays=16), **train}),
    )


def orbit(count: int, size: int = 24) -> Cameras:
    return orbit_cameras(
        count, distance=2.613, elevation_degrees=20.0, size=(size, size), field_of_view_degrees=45.0, up=torch.tensor([0.0, 0, 1])
    )


def ball(radius: float = 0.5, density: float = 400.0) -> FieldWeights:
    """A field that is a ball: relu units measure |x|, |y| and |z| in many directions, so density falls beyond `radius`.

    The first layer has units relu(n_i . x) for directions n_i spread over the sphere; their mean is |x| / 4.
    """
    spec = FieldSpec(width=128, depth=1, position_frequencies=0)
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(64, 3, generator=generator), dim=-1)
    first = torch.zeros(1, 128, 4)
    first[0, :64, :3], first[0, 64:, :3] = directions, -directions
    first[0, 0] = torch.tensor([0.0, 0.0, 0.0, 1.0])  # the constant, passed on
    steep = density / 10 / (radius / 2)
    last = torch.zeros(1, 4, 128)
    last[0, 0] = -steep * 4 / 126
    last[0, 0, 0] = steep * radius + 3 + 0.7
    last[0, 1:, 0] = torch.tensor([2.0, -1.0, 0.5])
    return FieldWeights(spec, {"layer_0": first, "layer_1": last})


@pytest.fixture
def scene_field() -> SceneField:
    return SceneField("ball", ball().rounded(), SceneTransform((1.0, 2.0, 3.0), 2.0), background=(1.0, 1.0, 1.0))


@pytest.fixture
def random_field() -> FieldWeights:
    spec = FieldSpec(width=16, depth=2, position_frequencies=3, plane_resolution=6, plane_channels=2)
    generator = torch.Generator().manual_seed(1)
    base = initial_weights(spec, generator)
    return FieldWeights(
        spec, {name: value[None] + 0.3 * torch.randn(value.shape, generator=generator) for name, value in base.items()}
    )


def run_tool(name: str, *arguments: str | Path) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command, run in its own process."""
    import subprocess
    import sys

    script = Path(__file__).parent.parent / "tools" / f"{name}.py"
    result = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, timeout=280, check=False
    )
    return result.returncode, result.stdout, result.stderr


def call_tool(name: str, *arguments: str | Path) -> tuple[int, str, str]:
    """As `run_tool`, in this process: for what ends before any work is done."""
    import contextlib
    import io
    import runpy
    import sys
    from unittest import mock

    script = str(Path(__file__).parent.parent / "tools" / f"{name}.py")
    output, error, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", [script, *map(str, arguments)]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(error),
    ):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
    return code, output.getvalue(), error.getvalue()
