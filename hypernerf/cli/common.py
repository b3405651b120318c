"""What all commands share: how they end, how they read a configuration, how they show progress."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

import scenes
from scenes.source import SceneSource, SourceConfig, source_config_type

from ..config import from_dict
from ..interrupts import stopping_on_signals
from ..training import Experiment
from ..types import InputError, SceneTransform

T = TypeVar("T")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
console = Console(highlight=False, soft_wrap=True)


class Parser(argparse.ArgumentParser):
    """Help with an example that runs as printed; errors in one line, exit code 2."""

    def __init__(self, description: str, example: str) -> None:
        super().__init__(
            description=description,
            epilog=f"example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}: see {self.prog} --help")


def run(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Runs a command: exit code 0 done, 2 bad input (one line on stderr), 130 interrupted by Ctrl-C or SIGTERM."""
    try:
        with stopping_on_signals():
            code = main(sys.argv[1:]) or 0
    except InputError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        if error.errno not in FULL:
            raise
        print(f"error: {error.filename or 'the disk'}: {error.strerror}: make room, then go on", file=sys.stderr)
        code = 2
    sys.exit(code)


def parse_config(values: dict, file: str) -> tuple[SourceConfig, Experiment]:
    """The `source` section by its own name's keys, the others as an `Experiment`. Errors name `file`."""
    sections = dict(values)
    source = sections.pop("source", {}) or {}
    try:
        if not isinstance(source, dict):
            raise InputError(f"source must be a section of keys, not {source!r}")
        kind = source_config_type(str(source.get("name", "procedural")))
        return from_dict(kind, source, "source"), from_dict(Experiment, sections)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def sphere_of(config: SourceConfig) -> SceneTransform | None:
    """The scene sphere that the configuration states; None if it is to be estimated."""
    return config.sphere


def add_base_option(parser: Parser) -> None:
    parser.add_argument(
        "--base", type=Path, metavar="FILE",
        help="of scenes written by reconstruct.py --delta: their base file or run folder (default: the one beside the scene)",
    )  # fmt: skip


def open_source(config: SourceConfig) -> SceneSource:
    return scenes.open_source(config)


def check_writable(folder: Path, option: str) -> None:
    """Fails now rather than after the work. Raises `InputError` if nothing can be written in `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}): choose another {option}") from None


def warn(text: str) -> None:
    """One line that is seen, and does not stop the work."""
    console.print(f"[yellow]{escape(' '.join(text.split()))}[/]")


def progress_bar(*extra: ProgressColumn) -> Progress:
    """A bar with count, elapsed and remaining time; on a terminal only, so that logs stay readable."""
    return Progress(
        TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), *extra, TimeElapsedColumn(),
        TextColumn("ETA"), TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


def tracked(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """`items`, with a bar that counts them."""
    with progress_bar(MofNCompleteColumn()) as progress:
        yield from progress.track(items, total=total, description=description)
