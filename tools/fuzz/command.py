"""fuzz_readers: shows that no damaged or malicious file does more than be refused."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import MofNCompleteColumn

from hypernerf.cli.common import Parser, console, progress_bar
from hypernerf.files import write_atomically
from hypernerf.types import InputError

from .campaign import Bench, Outcome, run_reader, scratch_folder
from .readers import READERS
from .trees import write_tree

KNOWN = {reader.name: reader for reader in READERS}
EXAMPLE = """  python tools/fuzz_readers.py --cases 1000 --json out/fuzz.json
  python tools/fuzz_readers.py --replay blender-scene 17 --keep out/case"""


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    torch.set_num_threads(1)
    return _replay(options) if options.replay else _campaign(options)


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = Parser(
        "Read thousands of damaged and malicious inputs with every reader of the project: images, scene folders, camera paths, "
        "meshes, scene files, checkpoints, training states, configurations, the render cache. Each must be read or be refused by "
        "an error that names the file, in 5 seconds, without opening a file elsewhere, starting anything, or filling memory. "
        "Exit code 1 if any was not.",
        EXAMPLE,
    )
    names = ", ".join(KNOWN)
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="over all readers (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another one makes other cases (default: 0)")
    parser.add_argument("--readers", nargs="+", metavar="NAME", default=list(KNOWN), help=f"only these of {names}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and findings there")
    parser.add_argument("--replay", nargs=2, metavar=("NAME", "I"), help="read one case again and say what happens")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --replay: leave the case's files there")
    options = parser.parse_args(arguments)
    for name in [*options.readers, *(options.replay or [])[:1]]:
        if name not in KNOWN:
            raise InputError(f"unknown reader {name!r}: choose among {names}")
    if options.cases < len(options.readers):
        raise InputError(f"--cases must be at least {len(options.readers)}, one a reader")
    if options.replay and not options.replay[1].isdigit():
        raise InputError(f"--replay {options.replay[0]} {options.replay[1]}: give the number of a case")
    return options


def _campaign(options: Namespace) -> int:
    started, figures, findings = time.perf_counter(), {}, []
    share, rest = divmod(options.cases, len(options.readers))
    with progress_bar(MofNCompleteColumn()) as bar:
        task = bar.add_task("read", total=options.cases)
        for number, name in enumerate(options.readers):
            outcomes = []
            for outcome in run_reader(KNOWN[name], options.seed, range(share + (number < rest))):
                outcomes.append(outcome)
                bar.advance(task)
            figures[name] = _figures(outcomes)
            console.print(f"{name:15} " + "  ".join(f"{key} {value:g}" for key, value in figures[name].items()))
            findings += [{"reader": name, "case": o.case, "faults": o.faults} for o in outcomes if o.faults]
    for finding in findings[:20]:
        console.print("--replay {reader} {case}: {faults}".format(**finding), markup=False)
    if options.json:
        result = {"cases": options.cases, "seed": options.seed, "seconds": round(time.perf_counter() - started, 1)}
        text = json.dumps({**result, "readers": figures, "findings": findings}, indent=1)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.json, lambda place: place.write_text(text))
    return 1 if findings else 0


def _figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """How many cases ended how; the slowest one's seconds; the megabytes that the process grew by over all of them."""
    good = [outcome for outcome in outcomes if not outcome.faults]
    read = sum(outcome.answer == "read" for outcome in good)
    return {
        "cases": len(outcomes), "read": read, "refused": len(good) - read, "findings": len(outcomes) - len(good),
        "slowest_s": round(max(outcome.seconds for outcome in outcomes), 2),
        "grown_mb": round(sum(outcome.megabytes for outcome in outcomes)),
    }  # fmt: skip


def _replay(options: Namespace) -> int:
    name, number, keep = options.replay[0], int(options.replay[1]), options.keep and options.keep.absolute()
    with scratch_folder() as scratch:
        bench = Bench(KNOWN[name], scratch, options.seed)
        if keep:
            write_tree(keep, bench.case(number))
        outcome = bench.run(number)
    for line in (outcome.answer, *outcome.faults, "not as documented" if outcome.faults else "as documented"):
        console.print(line, markup=False)
    return 1 if outcome.faults else 0
