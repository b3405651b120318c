"""reconstruct: a scene file from a few posed images, in one forward pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import MofNCompleteColumn

from scenes.detect import load_scene_folder, scene_format
from scenes.source import SceneError, check_scene

from ..fields import FieldWeights, save_delta_file, save_scene_file
from ..training import AdaptConfig, StoredScene, adapt, context_views, normalized, reconstruct, store_scene
from ..types import InputError, SceneViews
from .common import Parser, check_writable, console, open_source, progress_bar
from .session import Run, load_run
from .shared_base import run_base


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Read a few posed images of a scene and write its field: a file of tens of kilobytes that render_views.py and "
        "export_mesh.py read. The scene is a folder in any known format (docs/formats.md: COLMAP, nerfstudio, NeRF-synthetic, "
        "SRN, NMR, learnit, and photos alone for a model that reads no cameras), or the name of a scene of the run's source. "
        "Images are made square and scaled to the size that the run was trained on. `--source.KEY VALUE` sets how a folder is "
        "read, for instance --source.align true for cameras in an arbitrary frame.",
        "  python tools/reconstruct.py runs/quickstart --scene test-chairs-00003 --views 0 1 2 -o out/chair.field.safetensors",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a tools/fit_scenes.py run")
    parser.add_argument(
        "--scene", required=True, metavar="DIR", help="folder of one scene, or a scene's name in the run's source"
    )
    parser.add_argument("--views", type=int, nargs="+", metavar="I", help="numbers of the images to read (default: all)")
    parser.add_argument(
        "--adapt", type=int, default=0, metavar="STEPS",
        help="then better the field by up to this many gradient steps on the images, as many as help views that are held out; "
        "100 take about 15 seconds on two cores (default: 0, one forward pass)",
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
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="NAME.field.safetensors")
    options, overrides = parser.parse_known_args(arguments)
    if options.adapt < 0:
        raise InputError(f"--adapt {options.adapt}: give a number of steps, at least 0")
    if not 0 < options.coarseness < 1000:
        raise InputError(f"--coarseness must be between 0 and 1000, not {options.coarseness}")
    check_writable(options.output.parent, "-o")
    run = load_run(options.run, overrides)
    _require_cameras(run, Path(options.scene), options.adapt)
    views = _select(_load(run, options.scene), options.views)
    started = time.perf_counter()
    (scene,) = normalized([store_scene(views)], run.transform)
    weights = _adapted(run, scene, options.adapt) if options.adapt else reconstruct(run.generator, scene, range(len(scene)))
    field = run.scene_field(options.output.name.split(".")[0], weights, scene.cameras)
    seconds = time.perf_counter() - started
    if options.delta:
        save_delta_file(options.output, field, run_base(run), options.coarseness)
    else:
        save_scene_file(options.output, field)
    size = options.output.stat().st_size / 1000
    console.print(f"{options.output}: {len(scene)} views read in {seconds:.2f} s, {size:.1f} kB")


def _adapted(run: Run, scene: StoredScene, steps: int) -> FieldWeights:
    with progress_bar(MofNCompleteColumn()) as bar:
        task = bar.add_task("adapt", total=2 * steps)
        result = adapt(
            run.generator,
            context_views([scene], range(len(scene))),
            AdaptConfig(steps),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    before, after = (dict(result.held_out)[step] for step in (0, result.steps))
    what = "a held-out view" if len(scene) > 1 else "held-out pixels"
    console.print(f"adapted by {result.steps} of {steps} steps: PSNR of {what} {before:.2f} -> {after:.2f} dB")
    return result.weights


def _load(run: Run, name: str) -> SceneViews:
    if Path(name).exists():
        return _load_folder(run, Path(name))
    source = open_source(run.source)
    if any(name in source.scene_ids(split) for split in ("train", "val", "test")):
        return check_scene(source.load(name))
    raise InputError(f"{name}: no such folder, and no scene of the run's source {run.source.name!r} has this name: check --scene")


def _load_folder(run: Run, folder: Path) -> SceneViews:
    """A scene of the user's own, its images brought to the size that the run was trained on unless `source` says another."""
    source = run.source
    height, width = run.mean_image.shape[:2]
    if source.image_size is None and height == width:
        source = replace(source, image_size=height)
    return check_scene(load_scene_folder(folder, source.background, source))


def _require_cameras(run: Run, folder: Path, adapt: int) -> None:
    """Raises `InputError` for photos without cameras, where something is asked of them that needs cameras."""
    known = scene_format(folder) if folder.is_dir() else None
    if known is None or known.name != "images":
        return
    if run.experiment.encoder.image.rays:
        raise InputError(
            f"{folder}: photos without cameras, and the model of this run needs cameras: find them with COLMAP, or train one "
            "that does without (configs/pose_free.yaml)"
        )
    if adapt:
        raise InputError(f"{folder}: photos without cameras cannot be rendered to be compared with: leave out --adapt")


def _select(views: SceneViews, numbers: Sequence[int] | None) -> SceneViews:
    if numbers is None:
        return views
    wrong = [number for number in numbers if not 0 <= number < len(views)]
    if wrong:
        raise InputError(f"--views {wrong[0]}: {views.scene_id} has views 0 to {len(views) - 1}")
    if len(set(numbers)) < len(numbers):
        raise InputError("--views names a view twice: give each once")
    chosen = views[list(numbers)]
    if bool(((chosen.images - chosen.background).abs().amax(-1) < 2 / 255).all()):
        raise SceneError(f"{views.scene_id}: the chosen views show nothing but the background: choose other --views")
    return chosen
