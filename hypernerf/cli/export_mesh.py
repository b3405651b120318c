"""export_mesh: a triangle mesh of a reconstructed scene."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..export import MeshSettings, Placement, WrittenMesh, check_mesh_format, mesh_psnr, write_mesh
from ..export.mesh import SURFACE_DENSITY
from ..export.write_mesh import TEXTURED_TRIANGLES
from ..fields import SceneField, load_scene_file
from ..rendering import RenderSettings, scene_orbit
from ..types import InputError
from .common import Parser, check_writable, console, tracked, write_json


def main(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(arguments)
    check_mesh_format(options.output, options.texture)
    settings = MeshSettings(
        options.resolution, options.level, options.triangles, options.texture, options.texture_size,
        Placement(options.up, options.scale, _point(options.origin)),
    )  # fmt: skip
    check_writable(options.output.parent, "-o")
    scene = load_scene_file(options.scene, options.base)
    written = write_mesh(options.output, scene, settings, lambda steps: tracked(steps, "bake"))
    console.print(f"{options.output}: {written.vertices} vertices, {written.faces} faces")
    values = _checked(written, scene) if options.check else []
    if values:
        mean, worst = sum(values) / len(values), min(values)
        console.print(f"against the field, 8 views of 96x96: {mean:.2f} dB PSNR, the worst {worst:.2f}")
    found = {"vertices": written.vertices, "faces": written.faces, "bytes": options.output.stat().st_size}
    write_json(options.json, {**found, "check": {"views": len(values), "psnr": values} if values else None})


def _checked(written: WrittenMesh, scene: SceneField) -> list[float]:
    """PSNR (dB) of the file against the field, from 8 sides."""
    cameras = scene_orbit(scene, 8, (96, 96))
    return [float(value) for value in mesh_psnr(written.path, scene, cameras, written.matrix, RenderSettings(samples=96))]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "Turn a scene file into a mesh, in the units and axes of the scene's own cameras unless told otherwise: with vertex "
        "colors, or decimated, unwrapped and textured (needs the extra: pip install 'hypernerf[texture]').",
        "  python tools/export_mesh.py out/chair.field.safetensors -o out/chair.glb\n"
        "  python tools/export_mesh.py out/chair.field.safetensors -o out/chair.glb --texture --up y --origin base --check",
    )
    parser.add_scene()
    parser.add_output("FILE.glb, .ply or .obj; with --texture FILE.glb, or FILE.obj beside its .mtl and .png")
    parser.add_json()
    parser.add_argument("--resolution", type=int, default=128, metavar="N", help="grid cells along a side (default: 128)")
    parser.add_argument(
        "--level", type=float, default=SURFACE_DENSITY, metavar="X", help=f"density of the surface (default: {SURFACE_DENSITY:g})"
    )
    parser.add_argument("--texture", action="store_true", help="colors in a picture instead of at vertices")
    parser.add_argument("--texture-size", type=int, default=512, metavar="N", help="pixels along its side (default: 512)")
    parser.add_argument(
        "--triangles", type=int, metavar="N", help=f"at most so many (default: {TEXTURED_TRIANGLES} with --texture, else all)"
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


def _point(words: list[str] | None) -> str | tuple[float, float, float] | None:
    if words is None or len(words) == 1:
        return words[0] if words else None
    try:
        x, y, z = map(float, words)
    except ValueError:
        raise InputError(f"--origin must be center, base or three numbers, not {' '.join(words)}") from None
    return x, y, z
