"""render_scenes: a folder of meshes to posed views that any program of the field can read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.markup import escape

from scenes.loading import cores, scene_workers
from scenes.meshes import divide_meshes, mesh_files, named_meshes
from scenes.orbits import surrounding_cameras
from scenes.source import SceneError
from scenes.writing import write_scene

from ..files import make_folder
from ..reading import inside, read_bytes
from ..types import InputError
from .common import Parser, check_writable, console, tracked, warn, write_json

RECORD = "render_scenes.json"
MAX_RECORD = 1 << 16  # bytes


@dataclass(frozen=True)
class _Job:
    mesh: Path
    folder: Path
    number: int


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Draw every .glb, .gltf, .obj and .ply file under MESH_DIR from all sides: textured, lit, anti-aliased, with an alpha "
        "channel. Objects are scaled into the unit sphere, z up. OUT_train, OUT_val and OUT_test (srn) or OUT/train, OUT/val "
        "and OUT/test (blender, nerfstudio) then hold a folder each; color variants of one object stay in one split.",
        "  python tools/render_scenes.py out out/meshes --up z     (the mesh that make demo left in out/)",
    )
    parser.add_argument("meshes", metavar="MESH_DIR", type=Path, help="searched with its subfolders")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder (blender, nerfstudio) or common prefix (srn) to write")
    parser.add_argument("--size", type=int, default=64, help="pixels along a side (default: 64)")
    parser.add_argument("--views", type=int, default=24, help="views an object (default: 24)")
    parser.add_argument("--format", choices=("srn", "blender", "nerfstudio"), default="srn", help="layout (default: srn)")
    parser.add_argument("--supersample", type=int, default=3, help="rays a pixel: the square of this (default: 3)")
    parser.add_argument("--up", choices=("y", "z"), default="y", help="the files' up axis (default: y)")
    parser.add_argument("--val-share", type=float, default=0.05, help="share of the objects in val (default: 0.05)")
    parser.add_argument("--test-share", type=float, default=0.15, help="share of the objects in test (default: 0.15)")
    parser.add_argument(
        "--hold-out", nargs="+", default=[], metavar="DIR",
        help="subfolders of MESH_DIR of which nothing is trained on: all their objects become the test split of OUT-held-out",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of splits and cameras (default: 0)")
    parser.add_argument("--workers", type=int, default=cores(), help="processes (default: one a core)")
    options = parser.parse_args(arguments)
    if min(options.size, options.views, options.supersample, options.workers) < 1:
        raise InputError("--size, --views, --supersample and --workers must be at least 1")
    if min(options.val_share, options.test_share) < 0 or options.val_share + options.test_share >= 1:
        raise InputError("--val-share and --test-share must not be negative and leave room for training scenes")
    jobs = _jobs(options)
    check_writable(options.out.parent, "OUT")
    record = _begin(options, jobs)
    draw = partial(
        _draw, size=options.size, views=options.views, layout=options.format, supersample=options.supersample,
        up=options.up, seed=options.seed, root=options.meshes,
    )  # fmt: skip
    problems = [text for text in tracked(_results(draw, jobs, options.workers), "draw", len(jobs)) if text]
    for text in problems:
        console.print(f"[yellow]left out: {escape(text)}[/]")
    console.print(
        f"{len(jobs) - len(problems)} of {len(jobs)} objects drawn, {options.views} views of {options.size}x{options.size} each"
    )
    write_json(drawn_record(options.out, options.format), {**record, "finished": True})
    if len(problems) == len(jobs):
        raise InputError(f"{options.meshes}: none of its meshes could be drawn")


def drawn_record(out: Path, layout: str = "srn") -> Path:
    """Where it is written what a folder, or a prefix, was drawn from; `finished` if it was not interrupted."""
    return Path(f"{out}_{RECORD}") if layout == "srn" else out / RECORD


def _begin(options, jobs: list[_Job]) -> dict[str, Any]:
    """What is drawn, written down. Raises `InputError` where scenes divided otherwise are already: one would be in two splits."""
    path = drawn_record(options.out, options.format)
    named = ("size", "views", "format", "supersample", "up", "val_share", "test_share", "hold_out", "seed")
    folders = sorted(str(job.folder.relative_to(options.out.parent)) for job in jobs)
    record = {name: getattr(options, name) for name in named}
    record["scenes"] = hashlib.sha256("\n".join(folders).encode()).hexdigest()[:16]
    if path.is_file():
        try:
            before = dict(json.loads(read_bytes(path, MAX_RECORD)))
        except (ValueError, TypeError):
            raise InputError(f"{path}: not what render_scenes.py wrote: choose another OUT, or remove it") from None
        if other := [name for name in record if before.get(name) != record[name]]:
            raise InputError(f"{path}: what is there was drawn with another {other[0]}: choose another OUT, or remove it")
    elif any(place.is_dir() and any(place.iterdir()) for place in {job.folder.parent for job in jobs}):
        raise InputError(f"{options.out}: holds scenes already, and nothing tells how they were drawn: choose another OUT")
    make_folder(path.parent)
    write_json(path, record)
    return record


def _jobs(options) -> list[_Job]:
    files = named_meshes(options.meshes)
    drawn = set(files.values())
    for path in mesh_files(options.meshes):
        if path not in drawn:
            warn(f"left out: {path}, beside which stands {files[str(path.relative_to(options.meshes).with_suffix(''))].name}")
    numbers = {name: number for number, name in enumerate(files)}
    held_out = [name for name in files if any(Path(name).is_relative_to(folder) for folder in options.hold_out)]
    for folder in options.hold_out:
        if not any(Path(name).is_relative_to(folder) for name in held_out):
            raise InputError(f"--hold-out {folder}: no mesh of {options.meshes} is in it: name a subfolder, relative to MESH_DIR")
    splits = divide_meshes([n for n in files if n not in held_out], options.val_share, options.test_share, options.seed)
    divided = [(options.out, split, names) for split, names in splits.items()]
    divided.append((options.out.with_name(options.out.name + "-held-out"), "test", held_out))
    jobs = []
    for out, split, names in divided:
        place = Path(f"{out}_{split}") if options.format == "srn" else out / split
        jobs += [_Job(files[name], place / name.replace(os.sep, "__"), numbers[name]) for name in names]
    return jobs


def _results(draw: partial, jobs: list[_Job], workers: int) -> Iterator[str]:
    if workers == 1:
        yield from map(draw, jobs)
        return
    with scene_workers(workers, str(draw.keywords["root"])) as pool:
        yield from pool.map(draw, jobs, chunksize=4)


def _draw(job: _Job, *, size: int, views: int, layout: str, supersample: int, up: str, seed: int, root: Path) -> str:
    """Draws and writes one object; what went wrong, or nothing."""
    from scenes.mesh_file import load_mesh
    from scenes.mesh_rendering import draw_views, to_pixels

    torch.set_num_threads(1)
    cameras = surrounding_cameras(np.random.default_rng([seed, job.number]), views, size)
    try:
        mesh = load_mesh(inside(root, job.mesh.absolute(), error=SceneError), up, root)
        pixels = to_pixels(draw_views(mesh, cameras, supersample)).numpy()
    except SceneError as error:
        return str(error)
    if not pixels[..., 3].any():
        return f"{job.mesh}: nothing of it is seen in any view"
    write_scene(job.folder, layout, pixels, cameras)
    return ""
