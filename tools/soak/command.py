"""soak: shows that a long training takes no more memory, and no more time a step, at its end than at its start."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hypernerf.cli.common import Parser, check_writable, console, progress_bar, write_json
from hypernerf.types import InputError

from .judge import MEMORY_LIMIT, TIME_LIMIT, Pace, Verdict, judge
from .watch import CHILD, Record, watch

VALIDATIONS = 20  # the first well within the warm-up, since validating needs memory that is then kept


def main(arguments: Sequence[str], command: Sequence[str] = CHILD) -> int:
    """`command` starts the training that is watched: see `watch`."""
    parser = Parser(
        "Train for an hour by fit_scenes, with its validations and checkpoints, and watch. After a warm-up (a tenth of the time, "
        f"and the first validation and checkpoint) resident memory must stay within {MEMORY_LIMIT:.0%}, and a step of the last "
        f"quarter must take no more than {TIME_LIMIT:.0%} longer than one of the first: by the clock and in CPU seconds, each "
        "also beside a fixed reference computation that is timed every few seconds, since a shared machine may grow busier "
        "meanwhile: a step must be slower in itself and beside the reference to count as slower. Exit code 1 if it was not so. "
        "Any key of the configuration can be set by --section.key VALUE. The run itself is not kept.",
        "  python tools/soak.py configs/quickstart.yaml --minutes 60 --json out/soak.json",
    )
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; see configs/")
    parser.add_argument("--minutes", type=float, default=60.0, metavar="M", help="of training steps alone (default: 60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options, overrides = parser.parse_known_args(arguments)
    if not 0 < options.minutes < 1e6:
        raise InputError(f"--minutes must be positive, not {options.minutes}")
    if options.json is not None:
        check_writable(options.json.parent, "--json")
    started, seconds = time.perf_counter(), 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        length = ["--train.minutes", str(options.minutes), "--train.steps", str(10**9), "--train.validations", str(VALIDATIONS)]
        fitting = [options.config, "--out", f"{folder}/run", *length, *overrides]
        with progress_bar() as bar:
            task = bar.add_task("soak", total=seconds)
            record = watch(fitting, seconds, lambda passed: bar.update(task, completed=min(passed, seconds)), command)
    if record.code:
        return record.code  # it said why
    verdict = judge(record)
    if verdict is None or record.ended is None:
        raise InputError(f"--minutes {options.minutes:g}: too short to judge by: {len(record.blocks)} readings: take more")
    if options.json is not None:
        write_json(options.json, _figures(options.config, time.perf_counter() - started, record, verdict))
    _print(record, verdict)
    return 0 if verdict.good else 1


def _figures(config: str, seconds: float, record: Record, verdict: Verdict) -> dict:
    assert record.ended is not None
    facts = {"config": config, "seconds": round(seconds, 1), "readings": len(record.blocks), **asdict(record.ended)}
    return {**facts, "good": verdict.good, **asdict(verdict)}


def _print(record: Record, verdict: Verdict) -> None:
    assert record.ended is not None
    counts = f"{record.ended.steps} steps, {record.ended.validations} validations, {record.ended.checkpoints} checkpoints"
    memory = verdict.memory
    console.print(
        f"{counts}\nmemory {'flat' if verdict.flat else 'NOT FLAT'}: {memory.megabytes[0]:.0f} MB after warm-up, "
        f"{memory.megabytes[-1]:.0f} MB at the end, growth {memory.growth:+.2%}, farthest {memory.spread:.2%}"
    )
    for name, pace in (("clock", verdict.wall), ("CPU", verdict.cpu)):
        console.print(f"{name} {'steady' if pace.steady else 'SLOWER'}: {_pace(pace)}")


def _pace(pace: Pace) -> str:
    return (
        f"{pace.first_ms:.1f} ms a step in the first quarter, {pace.last_ms:.1f} in the last ({pace.change:+.1%}); the reference "
        f"{pace.reference_change:+.1%}; beside it {pace.relative_change:+.1%}"
    )
