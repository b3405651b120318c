"""family: what a hypernetwork can be. One member a file, each with a table, a picture and a JSON file of its figures."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from hypernerf.cli.common import Parser

MEMBERS = {  # name -> what it shows; the module of the name is loaded when it is asked for
    "scores": "parameters of generators against parameters written, and what the fields score, run by run",
    "delta": "bytes a scene against dB lost, when a scene is kept as what changes a shared base",
    "buys": "compression over many scenes, regularization from few views, a space between scenes",
    "sizes": "fields of every size from one run: dB against bytes and time, and the best within a budget",
    "uncertainty": "whether a run knows where it is wrong, and which view would tell it most",
    "continual": "what runs in a row still know of the scenes of the first",
    "time": "dB over time of scenes that move, against a field that stands still",
    "stream": "dB after each view that arrives, in constant memory",
}


def main(arguments: Sequence[str]) -> None:
    """`arguments`: a member's name, then its own. Raises `InputError` for an unknown one."""
    listed = "".join(f"\n  {name:12} {what}" for name, what in MEMBERS.items())
    parser = Parser(
        "Measure one member of the family of hypernetworks on a trained run (docs/hypernetworks.md). Members:"
        f"{listed}\nEach has a --help of its own, prints a table, and writes --json FILE and a picture -o FILE.png.",
        "  python tools/family.py scores runs/quickstart -o out/scores.png --json out/scores.json",
    )
    parser.add_argument("member", metavar="MEMBER", choices=MEMBERS, help="one of the names above")
    name = parser.parse_args(arguments[:1]).member
    importlib.import_module(f".{name}", __package__).main(arguments[1:])
