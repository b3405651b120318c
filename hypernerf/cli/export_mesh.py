"""export_mesh: a triangle mesh of a reconstructed scene."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..export import (
    Placement,
    decimated,
    extract_mesh,
    mesh_psnr,
    moved,
    save_mesh,
    save_textured_mesh,
    texture_mesh,
)
from ..export.mesh import FORMATS, SURFACE_DENSITY
from ..export.textured_mesh import TEXTURED_FORMATS
from ..fields import SceneField, load_scene_file
from ..geometry import orbit_cameras
from ..rendering import RenderSettings
from ..types import InputError
from .common import Parser, add_base_option, check_writable, console, tracked

TRIANGLES = 20_000


def main(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(arguments)
    _check(options)
    check_writable(options.output.parent, "-o")
    scene = load_scene_file(options.scene, options.base)
    mesh = extract_mesh(scene, options.resolution, options.level)
    count = TRIANGLES if options.triangles is None and options.texture else options.triangles
    if count is not None:
        mesh = decimated(scene, mesh, count)
    matrix = Placement(options.up, options.scale, options.origin).matrix(mesh.vertices, scene.up)
    if options.texture:
        bake = lambda steps: tracked(steps, "bake")
        save_textured_mesh(options.output, moved(texture_mesh(scene, mesh, options.texture_size, bake), matrix))
    else:
        save_mesh(options.output, moved(mesh, matrix))
    console.print(f"{options.output}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
    if options.check:
        _print_check(options.output, scene, matrix)


def _print_check(path: Path, scene: SceneField, matrix: np.ndarray) -> None:
    cameras = orbit_cameras(
        8, distance=scene.camera_distance * scene.transform.radius, elevation_degrees=25, size=(96, 96),
        field_of_view_degrees=scene.field_of_view_degrees, up=torch.tensor(scene.up), target=torch.tensor(scene.transform.center),
    )  # fmt: skip
    values = mesh_psnr(path, scene, cameras, matrix, RenderSettings(samples=96))
    console.print(f"against the field, 8 views of 96x96: {values.mean():.2f} dB PSNR, the worst {values.min():.2f}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "Turn a scene file into a mesh, in the units and axes of the scene's own cameras unless told otherwise: with vertex "
        "colors, or decimated, unwrapped and textured (needs the extra: pip install 'hypernerf[texture]').",
        "  python tools/export_mesh.py out/chair.field.safetensors -o out/chair.glb\n"
        "  python tools/export_mesh.py out/chair.field.safetensors -o out/chair.glb --texture --up y --origin base --check",
    )
    parser.add_argument("scene", metavar="SCENE", type=Path, help="NAME.field.safetensors of tools/reconstruct.py")
    add_base_option(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE",
        help="FILE.glb, .ply or .obj; with --texture FILE.glb, or FILE.obj beside its .mtl and .png",
    )  # fmt: skip
    parser.add_argument("--resolution", type=int, default=128, metavar="N", help="grid cells along a side (default: 128)")
    parser.add_argument(
        "--level", type=float, default=SURFACE_DENSITY, metavar="X", help=f"density of the surface (default: {SURFACE_DENSITY:g})"
    )
    parser.add_argument("--texture", action="store_true", help="colors in a picture instead of at vertices")
    parser.add_argument("--texture-size", type=int, default=512, metavar="N", help="pixels along its side (default: 512)")
    parser.add_argument(
        "--triangles", type=int, metavar="N", help=f"at most so many (default: {TRIANGLES} with --texture, else all)"
    )
    parser.add_argument(
        "--up", choices=("x", "y", "z"), help="turn the scene's up axis onto this one: y for glTF and most game engines"
    )
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="multiply lengths, after all else (default: 1)")
    parser.add_argument(
        "--origin", nargs="+", metavar="WHERE", help="what becomes 0 0 0: center or base of the bounding box, or a point X Y Z"
    )
    parser.add_argument("--check", action="store_true", help="draw the file from 8 sides and compare it with the field")
    return parser


def _check(options: argparse.Namespace) -> None:
    formats = TEXTURED_FORMATS if options.texture else FORMATS
    if options.output.suffix.lower() not in formats:
        what = "mesh format with a texture" if options.texture else "mesh format"
        raise InputError(f"{options.output}: unknown {what} {options.output.suffix!r}: use one of {', '.join(formats)}")
    if not 8 <= options.resolution <= 1024:
        raise InputError(f"--resolution must be between 8 and 1024, not {options.resolution}")
    if not options.level > 0:
        raise InputError(f"--level must be positive, not {options.level}")
    options.origin = _point(options.origin)
    Placement(options.up, options.scale, options.origin)  # complains before the work


def _point(words: list[str] | None) -> str | tuple[float, float, float] | None:
    if words is None or len(words) == 1:
        return words[0] if words else None
    try:
        x, y, z = map(float, words)
    except ValueError:
        raise InputError(f"--origin must be center, base or three numbers, not {' '.join(words)}") from None
    return x, y, z
