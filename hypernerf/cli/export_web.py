"""export_web: scenes as one HTML file that a browser shows by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..export.web import write_web_page
from ..fields import load_scene_file
from ..types import InputError
from .common import Parser, add_base_option, check_writable, console


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Turn scene files into one HTML file that draws them live, from any side, with WebGL2. It loads nothing, so it can be "
        "mailed, put on any server, or opened from a disk. Of several scenes of one run, a slider blends each into the next.",
        "  python tools/export_web.py out/chair.field.safetensors -o out/chair.html\n"
        "  python tools/export_web.py runs/quickstart/samples/*.field.safetensors --title Chairs -o out/chairs.html",
    )
    parser.add_argument("scenes", metavar="SCENE", type=Path, nargs="+", help="NAME.field.safetensors of tools/reconstruct.py")
    add_base_option(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="FILE.html")
    parser.add_argument("--title", metavar="TEXT", help="the page's title (default: the first scene's name)")
    options = parser.parse_args(arguments)
    if options.output.suffix.lower() != ".html":
        raise InputError(f"{options.output}: a web page is written to FILE.html: choose another -o")
    check_writable(options.output.parent, "-o")
    scenes = [load_scene_file(path, options.base) for path in options.scenes]
    write_web_page(options.output, scenes, options.title or scenes[0].name)
    size = options.output.stat().st_size / 1000
    console.print(f"{options.output}: {len(scenes)} scene{'s' * (len(scenes) > 1)}, {size:.0f} kB")
