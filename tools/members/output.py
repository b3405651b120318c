"""What all members share: their options, their table, their files."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.table import Table

from hypernerf.cli.common import Parser, check_writable, console, write_json
from hypernerf.export import save_image
from hypernerf.types import InputError

Cell = str | int | float | None  # None: not measured


class MemberParser(Parser):
    """A member's options: what it adds itself, and where its picture and its figures go."""

    def __init__(self, member: str, description: str, example: str) -> None:
        super().__init__(description, example)
        self.prog = f"{self.prog} {member}"
        self.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a picture there: FILE.png")
        self.add_json()

    def read(self, arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
        """(options, `--section.key VALUE` overrides). Raises `InputError` where a file could not be written."""
        options, overrides = self.parse_known_args(arguments)
        if options.output is not None and options.output.suffix.lower() != ".png":
            raise InputError(f"{options.output}: the picture is a .png: give -o FILE.png")
        if options.output is not None:
            check_writable(options.output.parent, "-o")
        return options, overrides


def report(options: Namespace, rows: Sequence[Mapping[str, Cell]], picture: Image.Image | None = None, **more: Any) -> None:
    """Prints `rows` (column -> value) as a table; writes the picture, and the rows with `more` as JSON, where asked for."""
    show(rows)
    if options.output is not None and picture is not None:
        save_image(options.output, picture)
    write_json(options.json, {"rows": [dict(row) for row in rows], **more})


def show(rows: Sequence[Mapping[str, Cell]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console.print(table, width=160, crop=False)


def _shown(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else value
