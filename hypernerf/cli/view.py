"""view: scenes live in a browser, beside their meshes and context cameras."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from scenes.source import SPLITS, check_scene

from ..fields import SceneField, load_scene_file
from ..memory import keep_freed_memory
from ..training import StoredScene, normalized, store_scene
from ..types import InputError
from ..viewer.measure import orbit_speed
from ..viewer.scene import FileScenes, RunScenes, Scenes
from ..viewer.server import LOOPBACK, PORT, Address, Viewer
from .common import Parser, check_writable, console, open_source
from .pretrained import HUB_PREFIX, PREFIX
from .session import Run, load_run

MEASURED = 128  # pixels along a side


def main(arguments: Sequence[str]) -> None:
    options, overrides = _parser().parse_known_args(arguments)
    if options.port is not None and not 0 <= options.port < 1 << 16:
        raise InputError(f"--port must be between 0 (any that is free) and 65535, not {options.port}")
    scenes = _open(options, overrides)
    keep_freed_memory()
    first = scenes.field(0, min(options.context_views, max(scenes.most_views, 1)), 0, lambda done, total: None)
    if options.measure:
        _print_speed(first)
        return
    check_writable(options.output, "-o")
    viewer = Viewer(scenes, first, Address(options.host, options.port), options.output, options.context_views)
    count = len(scenes.names)
    console.print(f"{count} scene{'s' * (count > 1)}: open [bold]{escape(viewer.url)}[/] in a browser; Ctrl-C ends")
    if options.host not in LOOPBACK:
        console.print(
            f"[yellow]--host {escape(options.host)}: whoever reaches this port sees the scenes and can write files to "
            f"{escape(str(options.output))}; there is no password[/]"
        )
    try:
        while True:
            time.sleep(3600)
    finally:
        viewer.close()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "Look at scenes live in a browser: turn around a field, beside its mesh and its context cameras. Give scene files, or a "
        "run, whose test scenes are then read from as many images, and adapted by as many steps, as the sliders say. Pictures "
        "are coarse while something moves and sharpen at rest; nothing is computed while nobody touches anything. Needs the "
        "extra: pip install 'hypernerf[viewer]'.",
        "  python tools/view.py runs/quickstart\n  python tools/view.py runs/quickstart/samples/*.field.safetensors --port 9000",
    )
    parser.add_argument(
        "scenes",
        metavar="SCENE | RUN",
        nargs="+",
        help="NAME.field.safetensors …, or one run: its folder, pretrained:NAME or hub:OWNER/NAME",
    )
    parser.add_base()
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="(default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=int, metavar="N", help=f"(default: {PORT}, or the next that is free)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="which scenes of a run (default: test)")
    parser.add_argument("--context-views", type=int, default=3, metavar="N", help="of a run, at first (default: 3)")
    parser.add_output("meshes and stills go there", metavar="DIR", default=Path("out/viewer"))
    parser.add_argument(
        "--measure", action="store_true",
        help=f"no browser: say how fast a moving camera gets pictures of {MEASURED}x{MEASURED}, and end",
    )  # fmt: skip
    return parser


def _open(options: argparse.Namespace, overrides: Sequence[str]) -> Scenes:
    runs = [name for name in options.scenes if name.startswith((PREFIX, HUB_PREFIX)) or Path(name).is_dir()]
    if not runs:
        if overrides:
            raise InputError(f"unexpected argument {overrides[0]}: see tools/view.py --help")
        return FileScenes([load_scene_file(path, options.base) for path in options.scenes])
    if len(options.scenes) > 1:
        raise InputError(f"{runs[0]}: a run is looked at alone: give one run, or scene files")
    return _run_scenes(load_run(runs[0], overrides), options.split, options.context_views)


def _run_scenes(run: Run, split, views: int) -> Scenes:
    """The scenes of a split, each read from disk when it is first asked for."""
    source = open_source(run.source)
    names = source.scene_ids(split)
    if not names:
        raise InputError(f"{run.folder}: its source has no {split} scenes: choose another --split")

    def load(name: str) -> StoredScene:
        return normalized([store_scene(check_scene(source.load(name)))], run.transform)[0]

    most = len(load(names[0]))
    if not 1 <= views <= most:
        raise InputError(f"--context-views must be between 1 and {most}, the views of {names[0]}, not {views}")
    return RunScenes(run.generator, names, load, run.experiment.evaluate.views_for, run.scene_field, most)


def _print_speed(field: SceneField) -> None:
    speed = orbit_speed(field, MEASURED)
    console.print(
        f"{escape(field.name)}: {speed.pictures / speed.seconds:.1f} pictures a second of {MEASURED}x{MEASURED} "
        f"(one: median {1000 * speed.median:.0f} ms, {1000 * speed.processor:.0f} ms of processor time)"
    )
