"""Unseen procedural chairs as people bring their photos, and how much worse a run reconstructs them than clean renderings.

Each chair is written as SRN (OUT/clean: 64x64, framed as the quickstart's), nerfstudio and COLMAP folders. The latter two hold
400x300 photos from the same places that look past the chair, through a lens with distortion and an off-center principal point,
in a world that is scaled and moved. All are read back and scored on the same six unseen clean views.

  python -m tests.scenes.photograph OUT --run runs/quickstart
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hypernerf.cli.session import Run, load_run
from hypernerf.training import StoredScene, evaluate_fields, normalized, reconstruct, store_scene
from scenes.detect import load_scene_folder
from scenes.orbits import surrounding_cameras
from scenes.procedural import ProceduralConfig, ProceduralSource
from scenes.shape import Shape
from scenes.source import Reading, check_scene
from tests.scenes import physical

CLEAN = {"fx": 32 / np.tan(np.radians(22.5)), "fy": 32 / np.tan(np.radians(22.5)), "cx": 32.0, "cy": 32.0}
LENS = {"fx": 316.0, "fy": 312.0, "cx": 210.0, "cy": 144.0, "k1": -0.12, "k2": 0.03, "p1": 0.002, "p2": -0.003}
HEIGHT, WIDTH = 300, 400
PAST = 0.02  # radians, standard deviation: how far photos look past the chair
SCALE, OFFSET = 3.5, np.array([4.0, -2.0, 1.5])
CONTEXT, VIEWS = 3, 9
LAYOUTS = {"clean": Reading()} | {
    f"{name} {square}": Reading(image_size=64, square=square, align=False, center=tuple(OFFSET.tolist()), radius=SCALE)
    for name in ("nerfstudio", "colmap")
    for square in ("crop", "frame")
}


@dataclass(frozen=True)
class Directions:
    """Unit directions [row, column, sample, 3] in camera axes, the samples of a pixel in a row."""

    values: np.ndarray

    @staticmethod
    def of(lens: dict, height: int, width: int, samples: int) -> Directions:
        """`samples` along a pixel's side."""
        y, x = np.meshgrid(np.arange(samples * height), np.arange(samples * width), indexing="ij")
        u, v = ((x + 0.5) / samples - lens["cx"]) / lens["fx"], ((y + 0.5) / samples - lens["cy"]) / lens["fy"]
        a, b = u, v
        for _ in range(60):  # mild lenses bend little: what is missing shrinks each time
            bent = physical.bend(a, b, lens)
            a, b = a + u - bent[0], b + v - bent[1]
        rays = np.stack([a, b, np.ones_like(a)], -1)
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        blocks = rays.reshape(height, samples, width, samples, 3).transpose(0, 2, 1, 3, 4)
        return Directions(blocks.reshape(height, width, samples**2, 3))


def photo(shape: Shape, position: np.ndarray, axes: np.ndarray, directions: Directions) -> physical.Shot:
    """RGBA, straight alpha."""
    rays = (directions.values @ axes.T).reshape(-1, 3).astype(np.float32)
    hits = shape.cast(np.broadcast_to(position.astype(np.float32), rays.shape), rays)
    mask = hits.mask.reshape(directions.values.shape[:3])
    color = (hits.color.reshape(*mask.shape, 3) * mask[..., None]).sum(2) / np.maximum(mask.sum(2), 1)[..., None]
    pixels = np.concatenate([color, mask.mean(2)[..., None]], -1)
    return physical.Shot(position, axes, np.round(pixels * 255).astype(np.uint8))


def turned(axes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    right, down = rng.normal(scale=PAST, size=2)
    forward = axes @ np.array([right, down, 1.0])
    forward /= np.linalg.norm(forward)
    across = np.cross(axes[:, 1], forward)
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(forward, across), forward], axis=1)


def write_scenes(out: Path, count: int) -> list[str]:
    source = ProceduralSource(ProceduralConfig(test_scenes=count))
    clean, bent = Directions.of(CLEAN, 64, 64, 3), Directions.of(LENS, HEIGHT, WIDTH, 2)
    names = source.scene_ids("test")
    for number, name in enumerate(names):
        rng, shape = np.random.default_rng([7, number]), source.shape(name)
        poses = surrounding_cameras(rng, VIEWS, 64).camera_to_world.double().numpy()
        places = [(pose[:3, 3], pose[:3, :3]) for pose in poses]
        scene = [photo(shape, position, axes, clean) for position, axes in places]
        physical.write_srn(out / "clean" / name, scene, CLEAN)
        photos = [photo(shape, position, turned(axes, rng), bent) for position, axes in places[:CONTEXT]]
        moved = [physical.Shot(SCALE * shot.position + OFFSET, shot.axes, shot.pixels) for shot in photos]
        physical.write_nerfstudio(out / "nerfstudio" / name, moved, LENS)
        physical.write_colmap(out / "colmap" / name, moved, LENS, "OPENCV", binary=True)
    return names


def scores(out: Path, names: list[str], run: Run) -> Iterator[tuple[str, float]]:
    """PSNR on the clean views that are not read, for each layout that is read."""
    white = run.source.background
    truth = [store_scene(check_scene(load_scene_folder(out / "clean" / name, white))) for name in names]
    for layout, reading in LAYOUTS.items():

        def field(scene: StoredScene, layout=layout, reading=reading):
            views = load_scene_folder(out / layout.split()[0] / scene.scene_id, white, reading)
            (context,) = normalized([store_scene(views)], reading.sphere or run.transform)
            return reconstruct(run.generator, context, range(CONTEXT))

        result = evaluate_fields(truth, field, lambda scene: list(range(CONTEXT, VIEWS)), run.experiment.render)
        yield layout, result.psnr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = write_scenes(options.out, options.scenes)
    for layout, psnr in scores(options.out, names, load_run(options.run)):
        print(f"{layout}: {psnr:.2f} dB with {CONTEXT} views, {len(names)} chairs x {VIEWS - CONTEXT} unseen views")


if __name__ == "__main__":
    main()
