"""evaluate: a run's scores on scenes it never saw, beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence

from ..types import InputError
from .common import Parser, open_source, write_json
from .finish import print_table
from .measure import measure
from .session import load_run, load_scenes


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Score a run on unseen scenes and views: PSNR, SSIM and (where its weights are at hand) LPIPS for each number of "
        "context views, and the same for the mean field, the nearest context view and the mean image. Any key of the run's "
        "configuration can be changed, for instance --source.root DIR.",
        "  python tools/evaluate.py runs/quickstart --context-views 1 2 3 --json out/metrics.json",
    )
    parser.add_run()
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--context-views", type=int, nargs="+", metavar="N", help="numbers of context views (default: the run's)")
    parser.add_argument(
        "--adapt", type=int, default=0, metavar="STEPS",
        help="score fields adapted to their context views, as reconstruct.py --adapt does: about 15 seconds a scene and number",
    )  # fmt: skip
    parser.add_json()
    options, overrides = parser.parse_known_args(arguments)
    counts = options.context_views
    if counts is not None and min(counts) < 1:
        raise InputError(f"--context-views must be at least 1, not {min(counts)}")
    if options.adapt < 0:
        raise InputError(f"--adapt {options.adapt}: give a number of steps, at least 0")
    run = load_run(options.run, overrides)
    scenes = load_scenes(run.source, options.split, run.transform)
    source = open_source(run.source)
    result = measure(run, scenes, counts or run.experiment.evaluate.context_views, source, options.adapt)
    print_table(result.metrics)
    write_json(options.json, result.metrics)
