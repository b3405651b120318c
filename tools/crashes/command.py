"""crash_campaign: shows that a training killed at any moment goes on from its last checkpoint, and ends the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

from rich.progress import MofNCompleteColumn

from hypernerf.cli.common import Parser, console, progress_bar, write_json
from hypernerf.types import InputError

from .campaign import Outcome, run_campaign


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        "Kill a tiny training (SIGKILL) at random moments, a third of them amid the writing of a checkpoint, and take it up "
        "again by --resume. Counts the steps lost beyond the last complete checkpoint, states that are not those that were "
        "saved, and checkpoints that were skipped as invalid; then compares with a training that was left alone, to the bit. "
        "Exit code 1 if anything was lost. A killed process is not a machine without power: what was flushed is not shown.",
        "  python tools/crash_campaign.py --kills 200 --json out/crashes.json",
    )
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="200 take 7 minutes on two busy cores (default: 200)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the moments (default: 0)")
    parser.add_json()
    options = parser.parse_args(arguments)
    if options.kills < 1:
        raise InputError(f"--kills must be at least 1, not {options.kills}")
    started = time.perf_counter()
    outcome = _followed(options.kills, options.seed)
    figures = {"seed": options.seed, "seconds": round(time.perf_counter() - started, 1), **asdict(outcome)}
    write_json(options.json, figures)
    console.print("  ".join(f"{name} {value}" for name, value in figures.items()), markup=False)
    return 0 if outcome.nothing_lost else 1


def _followed(kills: int, seed: int) -> Outcome:
    """The campaign's outcome, with a bar that counts. It forks, so it has a process without the bar's threads to itself."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="crashes-") as folder:
        process = multiprocessing.get_context("fork").Process(target=_campaign, args=(sending, Path(folder), kills, seed))
        process.start()
        sending.close()
        try:
            with progress_bar(MofNCompleteColumn()) as bar:
                task = bar.add_task("kill", total=kills)
                while not isinstance(said := receiving.recv(), Outcome):
                    bar.update(task, completed=said)
        finally:
            process.terminate()
            process.join()
    return said


def _campaign(sending: Connection, folder: Path, kills: int, seed: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at its end, or that of the command; a life alone ends when it next saves
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        sending.send(run_campaign(folder, kills, seed, sending.send))
