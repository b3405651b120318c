"""quality: run the rows of the benchmark that are not done yet, one at a time, and write down all that is known."""

from __future__ import annotations

import argparse
import fcntl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from hypernerf.cli.common import Parser, check_writable, console, parse_config, warn
from hypernerf.cli.render_scenes import MAX_RECORD, drawn_record
from hypernerf.config import load_yaml
from hypernerf.reading import read_bytes
from hypernerf.types import InputError
from peers.repository import checked_out_commit
from scenes.source import SourceConfig

from .plan import METHODS, Budget, Row, budget_of, method_of, planned
from .record import gather, known_records, write_records
from .table import markdown, write_table
from .work import TOOLS, Settings, perform, tasks_of

CONFIGS = TOOLS.parent / "configs" / "bench"
EXAMPLE = """  python tools/quality.py --list
  python tools/quality.py --only chairs_64/ours --minutes 30 --seeds 0 1 --json out/quality.json --table docs/benchmarks.md
  python tools/quality.py --peers clones --meshes my_meshes --hold-out PACK --adapt 200
  python tools/quality.py --only 'chairs_64/*' --minutes 180 --peers clones"""


@dataclass(frozen=True)
class _Planned:
    row: Row
    budget: Budget


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    settings = Settings(options.out, options.configs, options.peers, options.adapt, options.adapt_scenes, options.threads)
    rows = [_Planned(row, budget_of(method_of(row.method), options.minutes, dict(options.steps)))
            for row in planned(options.seeds, options.only)]  # fmt: skip
    if options.list:
        for item in rows:
            console.print(_described(item, settings))
        return 0
    for file, option in ((options.json, "--json"), (options.table, "--table")):
        if file is not None:
            check_writable(file.parent, option)
    check_writable(options.out, "--out")
    if options.threads is not None:
        torch.set_num_threads(options.threads)  # what is noted of the machine, and drawing meshes
    for item in rows if options.meshes is None else []:
        if _undrawn(item.row, settings):
            raise InputError(f"{item.row.dataset}: its meshes are not drawn yet: give --meshes DIR and --hold-out PACK")
    with _alone(options.out) as lock:
        code = _run_all(rows, settings, options, lock)
    records = known_records(options.out)
    if options.json is not None:
        write_records(options.json, records)
    if records:
        text = markdown(records)
        console.print(text, markup=False)
        if options.table is not None:
            write_table(options.table, text)
    return code


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        "Run the benchmark: procedural chairs, cars, lamps and all three, and rendered meshes, at 64x64 and 128x128, for 1, 2, 3 "
        "and 5 context views (configs/bench/); ours with each seed, other methods with the first, and our field from scratch. "
        "Rows run one at a time; with --threads 1 a second such command, with an --out of its own, can have another core. What "
        "is done is skipped and what was interrupted is taken up, so it can be started and stopped at will. Figures of all rows "
        "that were ever done in --out are written.",
        EXAMPLE,
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="ROW",
        help="DATASET, DATASET/METHOD or DATASET/METHOD/SEED, with * and ? (default: all; see --list)",
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="training time of each model (default: 30)")
    parser.add_argument(
        "--steps", nargs="+", type=_steps, default=[], metavar="METHOD=N",
        help="train these methods for N steps instead: as many as the minutes allow on a machine that does nothing else",
    )  # fmt: skip
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads of each training (default: for ours torch's choice, for other methods 2)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], metavar="S", help="of ours (default: 0 1)")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="DIR",
        help="folder with clones trans-inr, ginr-ipc and pixel-nerf; without it, they are left out",
    )
    parser.add_argument("--meshes", type=Path, metavar="DIR", help="folder of meshes to draw for meshes_64 and meshes_128, once")
    parser.add_argument("--hold-out", nargs="+", default=[], metavar="PACK", help="its subfolders that are held out whole")
    parser.add_argument("--adapt", type=int, default=0, metavar="STEPS", help="also score adaptation at test time, for 3 views")
    parser.add_argument("--adapt-scenes", type=int, default=16, metavar="N", help="on the first N unseen scenes (default: 16)")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="folder of all runs (default: runs/quality)")
    parser.add_argument("--configs", type=Path, default=CONFIGS, metavar="DIR", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--table", type=Path, metavar="FILE.md", help="write the tables there, between its marks if it is a page")
    parser.add_argument("--list", action="store_true", help="only say what would be run and what is done")
    options = parser.parse_args(arguments)
    if not options.minutes > 0:
        raise InputError(f"--minutes must be positive, not {options.minutes}")
    if options.adapt < 0 or options.adapt_scenes < 1:
        raise InputError("--adapt must not be negative, and --adapt-scenes at least 1")
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads must be at least 1, not {options.threads}")
    return options


def _steps(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in [method.name for method in METHODS] or not number.isdigit() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no METHOD=N, with METHOD of {', '.join(m.name for m in METHODS)}")
    return name, int(number)


def _described(item: _Planned, settings: Settings) -> str:
    method, tasks = method_of(item.row.method), tasks_of(item.row, item.budget, settings)
    started = settings.folder(item.row, item.budget).is_dir()
    state = "done" if all(task.done for task in tasks) else "under way" if started else "to do"
    if method.needs_clone and settings.clones is None and state == "to do":
        state = "needs --peers"
    times = f"{method.models} x " if method.models > 1 else ""
    return f"{item.row.name:28} {times}{item.budget.name:10} {state}"


@contextmanager
def _alone(out: Path) -> Iterator[int]:
    """The lock's file number. Raises `InputError` while another job of this folder runs."""
    with (out / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{out}: another tools/quality.py, or a training it started, is at work there: wait for it"
            ) from None
        yield file.fileno()


def _run_all(rows: Sequence[_Planned], settings: Settings, options: argparse.Namespace, lock: int) -> int:
    """130 if interrupted, 2 if a row could not be run, else 0."""
    commit, failed = _commit(), []
    for item in rows:
        if method_of(item.row.method).needs_clone and settings.clones is None:
            warn(f"{item.row.name}: left out, give --peers")
            continue
        _draw_meshes(item.row, settings, options)
        for task in tasks_of(item.row, item.budget, settings):
            if task.done:
                continue
            console.rule(f"{item.row.name}, {item.budget.name}: {task.name}")
            code = perform(task, commit, lock)
            if code in (130, -2, -15):
                console.print("interrupted: the same command goes on from there")
                return 130
            if code:
                failed.append(item.row.name)
                break
        else:
            gather(item.row, item.budget, settings)
    if failed:
        warn(f"not run, see above: {', '.join(failed)}")
    return 2 if failed else 0


def _undrawn(row: Row, settings: Settings) -> SourceConfig | None:
    """The source of a row whose meshes are not drawn yet."""
    file = settings.config(row)
    source, _ = parse_config(load_yaml(file), str(file))
    if source.name != "srn":
        return None
    record = drawn_record(Path(str(source.root)))
    if record.is_file():  # begun, and perhaps interrupted
        drawn = "finished" in read_bytes(record, MAX_RECORD).decode(errors="replace")
    else:
        drawn = Path(f"{source.root}_test").is_dir()
    return None if drawn else source


def _draw_meshes(row: Row, settings: Settings, options: argparse.Namespace) -> None:
    """Draws a data set's meshes if they are not yet. Raises `InputError` when that fails."""
    source = _undrawn(row, settings)
    if source is None:
        return
    command = [sys.executable, str(TOOLS / "render_scenes.py"), str(options.meshes), str(source.root)]
    command += ["--size", row.dataset.rpartition("_")[2]]
    command += ["--hold-out", *options.hold_out] if options.hold_out else []
    if subprocess.run(command, check=False).returncode:
        raise InputError(f"{options.meshes}: could not be drawn, see above")


def _commit() -> str:
    """Of this project, marked where files differ from it."""
    commit = checked_out_commit(TOOLS.parent)
    if commit is None:
        return "unknown"
    changed = subprocess.run(["git", "-C", str(TOOLS.parent), "diff", "--quiet", "HEAD"], check=False).returncode
    return commit + "-dirty" * bool(changed)
