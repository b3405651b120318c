"""What all commands share: how they end, how they read a configuration, how they show progress."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

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
from ..files import write_atomically
from ..interrupts import stopping_on_signals
from ..training import Experiment
from ..types import InputError, SceneTransform
from .commands import find_command

T = TypeVar("T")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
console = Console(highlight=False, soft_wrap=True)


class Parser(argparse.ArgumentParser):
    """Help with an example that runs as printed; errors in one line, exit code 2. Options of one meaning have one name."""

    def __init__(self, description: str, example: str) -> None:
        super().__init__(
            prog=Path(sys.argv[0]).name,
            description=as_called(description),
            epilog=as_called(f"example:\n{example}"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_run(self) -> None:
        self.add_argument(
            "run", metavar="RUN", type=Path,
            help=as_called("folder of a tools/fit_scenes.py run or of tools/export_model.py, pretrained:NAME, or hub:OWNER/NAME"),
        )  # fmt: skip

    def add_scene(self, many: bool = False) -> None:
        """`.scene`, a path; or `.scenes`, one or more of them."""
        self.add_argument(
            "scenes" if many else "scene", metavar="SCENE", type=Path, nargs="+" if many else None,
            help=as_called("NAME.field.safetensors of tools/reconstruct.py"),
        )  # fmt: skip
        self.add_base()

    def add_base(self) -> None:
        """`.base`, what delta files are merged with; None: what lies beside them."""
        self.add_argument(
            "--base", type=Path, metavar="FILE",
            help=as_called(
                "of scenes written by tools/reconstruct.py --delta: their base file or run (default: the one beside the scene)"
            ),
        )  # fmt: skip

    def add_output(self, help: str, metavar: str = "FILE", default: Path | None = None) -> None:
        """Required, unless there is a default, which the help then names."""
        shown = help if default is None else f"{help} (default: {default})"
        self.add_argument(
            "-o", "--output", type=Path, required=default is None, default=default, metavar=metavar, help=shown
        )  # fmt: skip

    def add_json(self) -> None:
        """See `write_json`."""
        self.add_argument("--json", type=_json_file, metavar="FILE", help="also write what is reported there, for programs")

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}: see {self.prog} --help")


def _json_file(text: str) -> Path:
    """Complains before the work rather than after it."""
    check_writable(Path(text).parent, "--json")
    return Path(text)


def as_called(text: str) -> str:
    """`text`, which names scripts (`python tools/export_mesh.py`), for people who run `hypernerf export-mesh` instead."""
    if not sys.argv[0].startswith("hypernerf "):
        return text

    def name(script: re.Match[str]) -> str:
        command = find_command(script["name"])
        return script[0] if command is None else f"hypernerf {command.name}"

    return re.sub(r"(?<![\w/.])(?:python )?(?:tools/)?(?P<name>\w+)\.py", name, text)


def run(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Runs a command: exit code 0 done, 2 bad input (one line on stderr), 130 interrupted by Ctrl-C or SIGTERM."""
    try:
        with stopping_on_signals():
            code = main(sys.argv[1:]) or 0
    except InputError as error:
        print("error: " + as_called(" ".join(str(error).split())), file=sys.stderr)
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
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        print(
            "error: out of memory: work on less at a time (training: --train.batch.scenes, --train.batch.rays; meshes: "
            "--resolution, --texture-size; views: --size): docs/troubleshooting.md",
            file=sys.stderr,
        )
        code = 2
    sys.exit(code)


def _is_out_of_memory(error: Exception) -> bool:
    """torch has no type of its own for a processor's memory, and since 2.5 one for a GPU's."""
    return isinstance(error, MemoryError) or any(
        text in str(error).lower() for text in ("out of memory", "can't allocate memory")
    )


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


def write_json(path: Path | None, values: Mapping[str, Any]) -> None:
    """What `--json FILE` asks for: `values` as JSON, whole or not at all; nothing where no file is asked for.

    Raises:
        InputError: the place cannot be written to.
    """
    if path is not None:
        write_atomically(path, lambda place: place.write_text(json.dumps(values, indent=2) + "\n"))


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
