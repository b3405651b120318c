"""export_onnx: a scene's field for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..export.onnx_field import onnx_difference, save_onnx
from ..fields import load_scene_file
from ..types import InputError
from .common import Parser, add_base_option, check_writable, console


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Write a scene's field as an ONNX graph, weights inside: positions [point, 3] in scene-sphere coordinates (user = "
        "center + radius * position; both are in the file's metadata) to density [point] and color [point, 3]. The file is "
        "then run by onnxruntime and compared with the field. Needs the extra: pip install 'hypernerf[onnx]'.",
        "  python tools/export_onnx.py out/chair.field.safetensors -o out/chair.onnx",
    )
    parser.add_argument("scene", metavar="SCENE", type=Path, help="NAME.field.safetensors of tools/reconstruct.py")
    add_base_option(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="FILE.onnx")
    options = parser.parse_args(arguments)
    if options.output.suffix.lower() != ".onnx":
        raise InputError(f"{options.output}: unknown format {options.output.suffix!r}: use FILE.onnx")
    check_writable(options.output.parent, "-o")
    scene = load_scene_file(options.scene, options.base)
    save_onnx(options.output, scene)
    opacity, color = onnx_difference(options.output, scene)
    size = options.output.stat().st_size / 1000
    console.print(
        f"{options.output}: {size:.0f} kB; in onnxruntime opacity differs by {opacity:.1e}, color by {color:.1e} at most"
    )
