"""The parts of benchmark that need a whole model: the training step, images, meshes, and from images to weights."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from scenes.procedural import ProceduralConfig

from ..config import apply_overrides, load_yaml
from ..export import extract_mesh
from ..fields import DENSITY_SCALE, DENSITY_SHIFT, SceneField, field_values
from ..geometry import camera_rays, cell_points, orbit_cameras, ray_points
from ..ops import integrate
from ..rendering import OccupancyGrid, RenderSettings, render_views, sample_occupied, scene_occupancy
from ..rendering.renderer import PROBED
from ..training import StoredScene, Trainer, context_views
from ..training.batches import sample_batch
from ..training.losses import reconstruction_loss
from ..training.metrics import psnr
from ..training.streaming import scenes_at
from ..types import Cameras, RayBundle
from .common import parse_config
from .fit import load_training
from .session import Run, load_run, load_scenes
from .timing import Timing, medians

T = TypeVar("T")
CPU = torch.device("cpu")
SCENES = 32  # to take batches from
SHORT = 25  # repeats of what takes some ten milliseconds and is slower at first
REFERENCE = 512  # samples all along a ray: what a field's picture is taken to be
EVERYWHERE = OccupancyGrid(torch.ones(1, 1, 1, 1, dtype=torch.bool))


def step_rows(config: Path, device: str, repeats: int) -> list[Timing]:
    """A training step, refinement and all, whole and by its parts, on the reference and on the fastest backend."""
    source, experiment = parse_config(
        apply_overrides(load_yaml(config), ["--train.device", device, "--train.refine_from", "0"]), str(config)
    )
    if isinstance(source, ProceduralConfig):
        source = dataclasses.replace(source, train_scenes=SCENES)
    scenes = load_training(source)[0][:SCENES]
    with tempfile.TemporaryDirectory() as folder:
        trainers = {
            name: Trainer(
                dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, backend=name)), scenes, Path(folder)
            )
            for name in ("torch", "auto")
        }
        batch = sample_batch(scenes, experiment.train.batch, 0, 0).to(trainers["auto"].device)
        where = trainers["auto"].device
        steps = {name: partial(trainer.train_step, batch) for name, trainer in trainers.items()}
        seconds = medians(steps, where, repeats)
        rows = [Timing("training step", n, 1e3 * s, seconds["torch"] / s) for n, s in seconds.items()]
        parts: dict[str, list[dict[str, float]]] = {name: [] for name in trainers}
        for turn in range(repeats + 1):
            for name, trainer in trainers.items():
                taken = step_parts(trainer)
                if turn:
                    parts[name].append(taken)
    for part in parts["torch"][0]:
        middle = {name: statistics.median(step[part] for step in steps) for name, steps in parts.items()}
        rows += [Timing(f"training step, {part}", n, 1e3 * s, middle["torch"] / s) for n, s in middle.items()]
    return rows


def step_parts(trainer: Trainer) -> dict[str, float]:
    """Seconds of one step's parts, without the visual hull's."""
    config, seconds = trainer.config, {}

    def timed(part: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = work()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        seconds[part] = time.perf_counter() - start
        return result

    scenes_now = scenes_at(trainer.scenes, trainer.step)
    batch = timed("load", lambda: sample_batch(scenes_now, config.batch, config.seed, trainer.step).to(trainer.device))
    code = timed("encode", lambda: trainer.model.encode(batch.context))
    draft = timed("generate", lambda: trainer.model.draft(code))
    weights = timed("refine", lambda: trainer.model.refined(draft, batch.context, code))
    grid = trainer.occupancy.grid().to(trainer.device)
    where = timed("sample", lambda: sample_occupied(batch.target_rays, config.samples, grid))
    scenes, rays, samples = where.distances.shape
    points = ray_points(batch.target_rays, where.distances).reshape(scenes, rays * samples, 3)
    values = timed("field", lambda: field_values(points, torch.zeros_like(points), weights, config.backend))
    values, background = values.reshape(scenes, rays, samples, 4), batch.context.background
    output = timed("integrate", lambda: integrate(values, where, background, DENSITY_SHIFT, DENSITY_SCALE, config.backend))
    loss, _ = reconstruction_loss(output, batch, config.loss)
    trainer.optimizer.zero_grad(set_to_none=True)
    timed("backward", loss.backward)
    timed("optimizer", trainer.optimizer.step)
    return seconds


def image_rows(folder: str, repeats: int, sizes: Sequence[int] = (128, 512)) -> list[Timing]:
    """Views and a mesh of the first unseen scene, from 3 images."""
    run = load_run(folder)
    field = first_unseen(run)
    rows = [row for size in sizes for row in view_rows(field, run.experiment.render, size, repeats)]
    taken = medians({"mesh": lambda: extract_mesh(field, 128)}, CPU, max(1, repeats // 3))["mesh"]
    return [*rows, Timing("mesh at 128^3", "auto", 1e3 * taken)]


def first_unseen(run: Run) -> SceneField:
    """The first unseen scene as a scene file holds it, from its first 3 images."""
    scene = _unseen_scene(run)
    with torch.no_grad():
        return run.scene_field(scene.scene_id, run.generator(context_views([scene], range(3))), scene.cameras)


def view_of(field: SceneField, size: int) -> Cameras:
    """One camera [1] around the scene, from as far as it is best looked at."""
    return orbit_cameras(
        1, distance=field.camera_distance, elevation_degrees=20, size=(size, size),
        field_of_view_degrees=field.field_of_view_degrees, up=torch.tensor(field.up),
    )  # fmt: skip


def view_rows(field: SceneField, settings: RenderSettings, size: int, repeats: int) -> list[Timing]:
    """A view, dense (4 times as many samples, all along the ray) and by `settings`, and how near they are to `REFERENCE`."""
    camera, background, weights = view_of(field, size), torch.tensor(field.background), field.weights
    dense, occupied = replace(settings, samples=4 * settings.samples), scene_occupancy(weights, settings.grid)
    works = {
        "dense sampling": partial(render_views, weights, camera, background, dense, EVERYWHERE),
        "occupied space": partial(render_views, weights, camera, background, settings),  # finds its grid each time
        "occupied space, grid at hand": partial(render_views, weights, camera, background, settings, occupied),
    }
    exact = render_views(weights, camera, background, replace(settings, samples=REFERENCE), EVERYWHERE).color
    quality = {name: float(psnr(work().color, exact)) for name, work in works.items()}
    every = points_asked(camera, dense.samples, EVERYWHERE)
    looks = int(((cell_points(settings.grid) ** 2).sum(-1) <= 1).sum())  # at the grid's cells inside the unit sphere
    asked = points_asked(camera, settings.samples, occupied)
    points = {"dense sampling": every, "occupied space": asked + looks, "occupied space, grid at hand": asked}
    seconds = medians(works, CPU, repeats)
    return [
        Timing(f"view {size} x {size}", n, 1e3 * s, seconds["dense sampling"] / s, psnr=quality[n], samples=points[n] / every)
        for n, s in seconds.items()
    ]


def points_asked(camera: Cameras, samples: int, occupancy: OccupancyGrid) -> int:
    """Points at which a field is asked for a view: `samples` on each ray that meets anything occupied."""
    rays = camera_rays(camera)
    every = RayBundle(rays.origins.reshape(1, -1, 3), rays.directions.reshape(1, -1, 3))
    met = sum(
        int((sample_occupied(every[:, part], 1, occupancy).lengths > 0).sum())
        for part in torch.arange(every.origins.shape[1]).split(PROBED)
    )
    return met * samples


def latency_rows(folder: str, repeats: int) -> list[Timing]:
    """From 3 images to weights."""
    run = load_run(folder)
    context = context_views([_unseen_scene(run)], range(3))
    with torch.no_grad():
        taken = medians({"auto": lambda: run.generator(context)}, CPU, max(SHORT, repeats))["auto"]
    return [Timing("3 images to weights", "auto", 1e3 * taken)]


def _unseen_scene(run: Run) -> StoredScene:
    source = run.source
    if isinstance(source, ProceduralConfig):  # as many as are asked for: one is enough
        source = dataclasses.replace(source, test_scenes=1)
    return load_scenes(source, "test", run.transform)[0]
