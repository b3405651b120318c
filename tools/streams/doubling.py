"""stream_doubling: shows that twice as many packed scenes take no more time a step and no more memory."""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hypernerf.cli.common import Parser, check_writable, console, parse_config, tracked
from hypernerf.cli.finish import write_json
from hypernerf.cli.taking_up import Settings
from hypernerf.config import apply_overrides, load_yaml
from hypernerf.types import InputError
from scenes.packed_index import FILE, read_index

from .collection import DISTINCT, make_collection
from .turns import Block, take_turns

LIMIT = 0.05  # of a ratio's distance from 1


@dataclass(frozen=True)
class Doubling:
    """Of some scenes and of twice as many. Medians are over steps, resident memory over the second half of the turns."""

    scenes: tuple[int, int]
    steps: int  # of each, the first turn left out
    step_ms: tuple[float, float]
    mean_step_ms: tuple[float, float]  # waiting for shards weighs here what it costs
    megabytes: tuple[float, float]

    @property
    def step_ratio(self) -> float:
        return self.step_ms[1] / self.step_ms[0]

    @property
    def mean_step_ratio(self) -> float:
        return self.mean_step_ms[1] / self.mean_step_ms[0]

    @property
    def memory_ratio(self) -> float:
        return self.megabytes[1] / self.megabytes[0]

    @property
    def good(self) -> bool:
        return max(abs(self.step_ratio - 1), abs(self.memory_ratio - 1)) <= LIMIT


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        f"Pack a collection (up to {DISTINCT} procedural chairs, and copies of them in other colors), take the first half of its "
        "shards as another, and train on both, each in a process of its own that takes a few steps in turn. The median time of "
        f"a step and the resident memory must be the same within {LIMIT:.0%}. Exit code 1 if they were not. Any key of the "
        "configuration can be set by --section.key VALUE.",
        "  python tools/stream_doubling.py configs/streamed.yaml --out out/doubling --train.threads 1",
    )
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; see configs/")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the collections; those that are there serve again"
    )
    parser.add_argument("--scenes", type=int, default=4096, metavar="N", help="training scenes of the smaller (default: 4096)")
    parser.add_argument("--size", type=int, default=32, metavar="N", help="pixels along a side (default: 32)")
    parser.add_argument("--views", type=int, default=8, metavar="N", help="of each scene (default: 8)")
    parser.add_argument("--shard-scenes", type=int, default=256, metavar="N", help="scenes a file (default: 256)")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="of a turn (default: 20)")
    parser.add_argument("--turns", type=int, default=30, metavar="N", help="of each, and one more to warm up (default: 30)")
    parser.add_json()
    options, overrides = parser.parse_known_args(arguments)
    if min(options.scenes, options.size, options.views, options.shard_scenes, options.steps, options.turns) < 1:
        raise InputError("--scenes, --size, --views, --shard-scenes, --steps and --turns must be at least 1")
    if options.scenes % options.shard_scenes:
        raise InputError(
            f"--scenes {options.scenes} must divide by --shard-scenes {options.shard_scenes}: half of it is whole files"
        )
    check_writable(options.out, "--out")
    values = load_yaml(options.config)
    folders = collections(options)
    every = [_settings(values, options.config, folder, overrides) for folder in folders]
    with tempfile.TemporaryDirectory(prefix="stream-doubling-") as scratch:
        turns = tracked(range(options.turns + 1), "train", options.turns + 1)
        once, twice = take_turns(every, [Path(scratch) / "once", Path(scratch) / "twice"], options.steps, turns)
    result = judged((options.scenes, 2 * options.scenes), once, twice)
    figures = {name: getattr(result, name) for name in ("step_ratio", "mean_step_ratio", "memory_ratio", "good")}
    write_json(options.json, {**asdict(result), **figures})
    _print(result)
    return 0 if result.good else 1


def judged(scenes: tuple[int, int], once: Sequence[Block], twice: Sequence[Block]) -> Doubling:
    """The first turn of each is not counted."""
    both = once[1:], twice[1:]
    seconds = [[second for block in blocks for second in block.seconds] for blocks in both]
    late = [[block.bytes for block in blocks[len(blocks) // 2 :]] for blocks in both]
    medians, means, sizes = (
        tuple(factor * middle(values) for values in parts)
        for factor, middle, parts in (
            (1e3, statistics.median, seconds),
            (1e3, statistics.fmean, seconds),
            (1e-6, statistics.median, late),
        )
    )
    return Doubling(scenes, len(seconds[0]), medians, means, sizes)  # type: ignore[arg-type]


def collections(options: argparse.Namespace) -> tuple[Path, Path]:
    """The folders of the smaller and the larger collection, made where they are not there yet."""
    small, large = options.out / "once", options.out / "twice"
    if not (large / FILE).exists():
        large.mkdir(parents=True, exist_ok=True)
        with console.status("pack"):
            make = (large, 2 * options.scenes, options.size, options.views, options.shard_scenes)
            process = multiprocessing.get_context("fork").Process(target=make_collection, args=make)
            process.start()
            process.join()
        if process.exitcode:
            raise InputError(f"{large}: the collection could not be made (exit code {process.exitcode})")
    if not (small / FILE).exists():
        make_half(large, small)
    for folder, wanted in ((small, options.scenes), (large, 2 * options.scenes)):
        there = sum(shard.scenes for shard in read_index(folder).splits["train"])
        if there != wanted:
            raise InputError(f"{folder}: holds {there} training scenes, not {wanted}: give another --out")
    return small, large


def make_half(whole: Path, half: Path) -> None:
    """A collection of the first half of another's training shards, and of all that it validates and tests on."""
    index = read_index(whole)
    train = index.splits["train"]
    splits = {**index.splits, "train": train[: len(train) // 2]}
    half.mkdir(parents=True, exist_ok=True)
    for shard in [shard for shards in splits.values() for shard in shards]:
        (half / shard.file).write_bytes((whole / shard.file).read_bytes())
    (half / FILE).write_text(replace(index, splits=splits).to_json())


def _settings(values: dict, file: str, folder: Path, overrides: Sequence[str]) -> Settings:
    more = ["--source.name", "sharded", "--source.root", str(folder), *overrides]
    return Settings(*parse_config(apply_overrides(values, more), file))


def _print(result: Doubling) -> None:
    console.print(
        f"{result.scenes[0]} and {result.scenes[1]} scenes, {result.steps} steps each: {result.step_ms[0]:.1f} and "
        f"{result.step_ms[1]:.1f} ms a step (medians; x {result.step_ratio:.3f}; means x {result.mean_step_ratio:.3f}), "
        f"{result.megabytes[0]:.0f} and {result.megabytes[1]:.0f} MB (x {result.memory_ratio:.3f}): "
        f"{'the same' if result.good else 'NOT THE SAME'}"
    )
