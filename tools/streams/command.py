"""stream_check: shows that training on packed scenes starts at once, does not wait for them, and keeps its memory."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import MofNCompleteColumn

from hypernerf.cli.common import Parser, check_writable, console, parse_config, progress_bar
from hypernerf.cli.finish import write_json
from hypernerf.cli.taking_up import Settings
from hypernerf.config import apply_overrides, load_yaml
from hypernerf.memory import keep_freed_memory
from hypernerf.types import InputError
from scenes.packed_index import FILE, read_index
from soak.judge import WINDOWS

from .collection import DISTINCT, make_collection
from .measure import FIRST_BATCH_LIMIT, LOADER_LIMIT, Figures, measure


def main(arguments: Sequence[str]) -> int:
    keep_freed_memory()
    parser = Parser(
        f"Pack a large collection (up to {DISTINCT} procedural chairs, and copies of them in other colors) and train on it. The "
        f"first batch must be there within {FIRST_BATCH_LIMIT:g} s; waiting for shards and the CPU time of the thread that reads "
        f"them must together stay under {LOADER_LIMIT:.0%} of the steps' time; resident memory must stay within 2% after the "
        "first tenth of the steps. Exit code 1 if it was not so. Any key of the configuration can be set by --section.key VALUE.",
        "  python tools/stream_check.py configs/streamed.yaml --scenes 2000 --steps 200 --out out/streamed",
    )
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; see configs/")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the collection; one that is there is used again")
    parser.add_argument("--scenes", type=int, default=20_000, metavar="N", help="training scenes (default: 20000)")
    parser.add_argument("--size", type=int, default=32, metavar="N", help="pixels along a side (default: 32)")
    parser.add_argument("--views", type=int, default=8, metavar="N", help="of each scene (default: 8)")
    parser.add_argument("--shard-scenes", type=int, default=256, metavar="N", help="scenes a file (default: 256)")
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help=f"at least {4 * WINDOWS} (default: 2000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options, overrides = parser.parse_known_args(arguments)
    if min(options.scenes, options.size, options.views, options.shard_scenes) < 1 or options.steps < 4 * WINDOWS:
        raise InputError(f"--scenes, --size, --views and --shard-scenes must be at least 1, --steps at least {4 * WINDOWS}")
    for place, option in ((options.out, "--out"), (options.json.parent if options.json else options.out, "--json")):
        check_writable(place, option)
    made = _make(options)
    values = apply_overrides(
        load_yaml(options.config), ["--source.name", "sharded", "--source.root", str(options.out), *overrides]
    )
    settings = Settings(*parse_config(values, options.config))
    with tempfile.TemporaryDirectory(prefix="stream-check-") as run, progress_bar(MofNCompleteColumn()) as bar:
        task = bar.add_task("train", total=options.steps)
        figures = measure(settings, Path(run), options.steps, lambda step: bar.update(task, completed=step))
    if options.json is not None:
        write_json(options.json, {"good": figures.good, "made_seconds": made, **asdict(figures)})
    _print(figures)
    return 0 if figures.good else 1


def _print(figures: Figures) -> None:
    memory, verdict = figures.memory, "good" if figures.good else "NOT GOOD"
    console.print(f"{figures.scenes} scenes in {figures.shards} shards, {figures.shards_held} held, {figures.shards_read} read")
    console.print(
        f"first batch after {figures.first_batch_seconds:.2f} s ({figures.first_batch_cpu_seconds:.2f} s of CPU)\n"
        f"{figures.steps} steps of {figures.step_ms:.1f} ms, of which waiting for shards {figures.waited:.2%}, reading them "
        f"{figures.read:.2%}, drawing batches {figures.drawn:.2%}\nmemory {memory.megabytes[0]:.0f} to "
        f"{memory.megabytes[-1]:.0f} MB, growth {memory.growth:+.2%}, farthest {memory.spread:.2%}: {verdict}"
    )


def _make(options) -> float | None:
    """Seconds that it took; None where the collection was there. In a process of its own, so that its memory is not ours."""
    if (options.out / FILE).exists():
        there = sum(shard.scenes for shard in read_index(options.out).splits["train"])
        if there != options.scenes:
            raise InputError(f"{options.out}: holds {there} training scenes, not {options.scenes}: give another --out")
        return None
    start = time.perf_counter()
    arguments = (options.out, options.scenes, options.size, options.views, options.shard_scenes)
    process = multiprocessing.get_context("fork").Process(target=make_collection, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise InputError(f"{options.out}: the collection could not be made (exit code {process.exitcode})")
    return round(time.perf_counter() - start, 1)
