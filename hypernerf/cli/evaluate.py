"""evaluate: a run's scores on scenes it never saw, beside its baselines; or some of them large, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..training import StoredScene
from ..types import InputError
from .closeup import draw_closeups
from .common import Parser, check_writable, open_source, write_json
from .finish import print_table
from .measure import Adapting, measure
from .session import load_run, load_scenes

EXAMPLE = """  python tools/evaluate.py runs/quickstart --context-views 1 2 3 --json out/metrics.json
  python tools/evaluate.py runs/quickstart --context-views 3 --adapt 100 --first 8
  python tools/evaluate.py runs/quickstart --sheet out/large.png --scenes test-chairs-00003 test-chairs-00012 --adapt 100"""


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Score a run on unseen scenes and views: PSNR, SSIM and (where its weights are at hand) LPIPS for each number of "
        "context views, and the same for the mean field, the nearest context view and the mean image. Any key of the run's "
        "configuration can be changed, for instance --source.root DIR.",
        EXAMPLE,
    )
    parser.add_run()
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--context-views", type=int, nargs="+", metavar="N", help="numbers of context views (default: the run's)")
    parser.add_argument(
        "--adapt", type=int, default=0, metavar="STEPS",
        help="also score fields adapted to their context views, as reconstruct.py --adapt does: about 15 seconds a scene and "
        "number",
    )  # fmt: skip
    parser.add_argument("--adapt-views", type=int, nargs="+", default=[], metavar="N", help="for these numbers of views only")
    parser.add_argument("--first", type=int, metavar="N", help="the first N scenes of the split only")
    parser.add_argument("--scenes", nargs="+", metavar="ID", help="these scenes of the split only")
    parser.add_json()
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE.png",
        help="score nothing; draw context views, forward pass, --adapt's and truth there, large, for the most context views",
    )  # fmt: skip
    options, overrides = parser.parse_known_args(arguments)
    counts = options.context_views
    if counts is not None and min(counts) < 1:
        raise InputError(f"--context-views must be at least 1, not {min(counts)}")
    if options.adapt < 0:
        raise InputError(f"--adapt {options.adapt}: give a number of steps, at least 0")
    if options.first is not None and options.first < 1:
        raise InputError(f"--first must be at least 1, not {options.first}")
    if options.sheet is not None:
        check_writable(options.sheet.parent, "--sheet")
    run = load_run(options.run, overrides)
    counts = counts or run.experiment.evaluate.context_views
    scenes = _chosen(load_scenes(run.source, options.split, run.transform), options.scenes)[: options.first]
    if options.sheet is not None:
        draw_closeups(run, scenes, counts, options.adapt, options.sheet)
        return
    adapting = Adapting(options.adapt, tuple(options.adapt_views))
    result = measure(run, scenes, counts, open_source(run.source), adapting)
    print_table(result.metrics)
    write_json(options.json, result.metrics)


def _chosen(scenes: Sequence[StoredScene], names: Sequence[str] | None) -> Sequence[StoredScene]:
    """Those of these names, in their order; all, if there are none. Raises `InputError` for a name that no scene has."""
    if names is None:
        return scenes
    known = {scene.scene_id: scene for scene in scenes}
    for name in names:
        if name not in known:
            raise InputError(f"--scenes {name}: no such scene in the split; its first is {scenes[0].scene_id}")
    return [known[name] for name in names]
