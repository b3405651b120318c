"""reconstruct: a scene file from a few posed images, in one forward pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import MofNCompleteColumn

from ..fields import save_delta_file, save_scene_file, save_spread
from ..training import Adaptation, normalized, store_scene
from ..types import InputError
from .common import Parser, check_writable, console, progress_bar, warn, write_json
from .reconstruction import choose_views, open_scene, reconstruction, require_cameras, traps_in
from .session import load_run
from .shared_base import run_base
from .suggest_view import distribution_of, suggestion


def main(arguments: Sequence[str]) -> None:
    options, overrides = _parser().parse_known_args(arguments)
    if options.adapt < 0:
        raise InputError(f"--adapt {options.adapt}: give a number of steps, at least 0")
    if not 0 < options.coarseness < 1000:
        raise InputError(f"--coarseness must be between 0 and 1000, not {options.coarseness}")
    check_writable(options.output.parent, "-o")
    run = load_run(options.run, overrides)
    require_cameras(run, Path(options.scene), options.adapt)
    every = open_scene(run, options.scene)
    for trap in traps_in(run, Path(options.scene), every):
        warn(f"trap: {trap.what}; mend: {trap.mend} (tools/check_scenes.py draws it)")
    views = choose_views(every, options.views)
    started = time.perf_counter()
    with progress_bar(MofNCompleteColumn()) as bar:
        task = bar.add_task("adapt", total=2 * options.adapt, visible=options.adapt > 0)
        name = options.output.name.split(".")[0]
        show = lambda done, total: bar.update(task, completed=done, total=total)
        result = reconstruction(run, views, options.adapt, name, show)
    seconds = time.perf_counter() - started
    if options.delta:
        save_delta_file(options.output, result.field, run_base(run), options.coarseness)
    else:
        save_scene_file(options.output, result.field)
    (scene,) = normalized([store_scene(views)], run.transform)
    distribution = distribution_of(run, scene, result.field.weights)
    if distribution.rank:
        save_spread(options.output, distribution)
    size = options.output.stat().st_size
    if result.adaptation is not None:
        _print_adaptation(result.adaptation, options.adapt, len(views))
    console.print(f"{options.output}: {len(views)} views read in {seconds:.2f} s, {size / 1000:.1f} kB")
    if options.suggest_view:
        left = [number for number in range(len(every)) if number not in (options.views or range(len(every)))]
        (others,) = normalized([store_scene(every)], run.transform)
        console.print(suggestion(run, result.field, distribution, others.cameras, left))
    found = {"scene": views.scene_id, "views": len(views), "seconds": round(seconds, 3), "bytes": size}
    write_json(options.json, {**found, "adaptation": None if result.adaptation is None else _evidence(result.adaptation)})


def _parser() -> Parser:
    parser = Parser(
        "Read a few posed images of a scene and write its field: a file of tens of kilobytes that render_views.py and "
        "export_mesh.py read. The scene is a folder in any known format (docs/formats.md: COLMAP, nerfstudio, NeRF-synthetic, "
        "SRN, NMR, learnit, and photos alone for a model that reads no cameras), or the name of a scene of the run's source. "
        "Images are made square and scaled to the size that the run was trained on. `--source.KEY VALUE` sets how a folder is "
        "read, for instance --source.align true for cameras in an arbitrary frame.",
        "  python tools/reconstruct.py runs/quickstart --scene test-chairs-00003 --views 0 1 2 -o out/chair.field.safetensors",
    )
    parser.add_run()
    parser.add_argument(
        "--scene", required=True, metavar="DIR", help="folder of one scene, or a scene's name in the run's source"
    )
    parser.add_argument("--views", type=int, nargs="+", metavar="I", help="numbers of the images to read (default: all)")
    parser.add_argument(
        "--adapt", type=int, default=0, metavar="STEPS",
        help="then better the field by up to this many gradient steps on the images, as many as help views that are held out; "
        "200 take about 15 seconds on one core (default: 0, one forward pass)",
    )  # fmt: skip
    parser.add_argument(
        "--suggest-view", action="store_true",
        help="also name the camera whose view would tell most, among the views that were not read, or around the scene; for runs "
        "of configs/family/uncertainty.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--delta",
        action="store_true",
        help="write only what changes the run's base: a few kilobytes, and once for all scenes the base file beside them",
    )
    parser.add_argument(
        "--coarseness", type=float, default=1.0, metavar="X",
        help="of --delta: steps to which numbers are rounded; half of it takes about a half more bytes (default: 1)",
    )  # fmt: skip
    parser.add_output("NAME.field.safetensors")
    parser.add_json()
    return parser


def _print_adaptation(result: Adaptation, steps: int, views: int) -> None:
    before, after = (dict(result.held_out)[step] for step in (0, result.steps))
    what = "a held-out view" if views > 1 else "held-out pixels"
    console.print(f"adapted by {result.steps} of {steps} steps: PSNR of {what} {before:.2f} -> {after:.2f} dB")


def _evidence(result: Adaptation) -> dict[str, Any]:
    return {"steps": result.steps, "held_out_psnr": [{"steps": steps, "psnr": psnr} for steps, psnr in result.held_out]}
