"""export_mesh: a triangle mesh of a reconstructed scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..export import extract_mesh, save_mesh
from ..export.mesh import FORMATS, SURFACE_DENSITY
from ..fields import load_scene_file
from ..types import InputError
from .common import Parser, check_writable, console


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Turn a scene file into a mesh with vertex colors, in the units and axes of the scene's own cameras.",
        "  python tools/export_mesh.py out/chair.field.safetensors -o out/chair.glb",
    )
    parser.add_argument("scene", metavar="SCENE", type=Path, help="NAME.field.safetensors of tools/reconstruct.py")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="FILE.glb, .ply or .obj")
    parser.add_argument("--resolution", type=int, default=128, metavar="N", help="grid cells along a side (default: 128)")
    parser.add_argument(
        "--level", type=float, default=SURFACE_DENSITY, metavar="X", help=f"density of the surface (default: {SURFACE_DENSITY:g})"
    )
    options = parser.parse_args(arguments)
    if options.output.suffix.lower() not in FORMATS:
        raise InputError(f"{options.output}: unknown mesh format {options.output.suffix!r}: use one of {', '.join(FORMATS)}")
    if not 8 <= options.resolution <= 1024:
        raise InputError(f"--resolution must be between 8 and 1024, not {options.resolution}")
    if not options.level > 0:
        raise InputError(f"--level must be positive, not {options.level}")
    check_writable(options.output.parent, "-o")
    mesh = extract_mesh(load_scene_file(options.scene), options.resolution, options.level)
    save_mesh(options.output, mesh)
    console.print(f"{options.output}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
