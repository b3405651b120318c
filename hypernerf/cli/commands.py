"""The `hypernerf` command: each script of tools/ as a subcommand. Nothing heavy is imported before one is chosen."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from .. import __version__

TRAIN, DATA, USE, EXPORT = "Train and measure", "Look at data and make it", "Use a trained run", "Take a scene elsewhere"


@dataclass(frozen=True)
class Command:
    """`hypernerf NAME`, which is `python tools/NAME.py` with underscores: the `main` of `hypernerf.cli.MODULE`."""

    name: str
    module: str
    help: str
    group: str


COMMANDS = (
    Command("fit-scenes", "fit", "train a generator on many scenes", TRAIN),
    Command("evaluate", "evaluate", "score a run on scenes it never saw", TRAIN),
    Command("benchmark", "benchmark", "time every part on this machine", TRAIN),
    Command("check-scenes", "check_scenes", "what a folder of scenes is, and what would go wrong with it", DATA),
    Command("render-scenes", "render_scenes", "meshes to posed views that any program of the field reads", DATA),
    Command("pack-scenes", "pack_scenes", "many scenes into tar shards that training streams", DATA),
    Command("reconstruct", "reconstruct", "a scene file from a few posed images", USE),
    Command("render-views", "render_views", "new views of a scene file: video, gif, pictures, depth", USE),
    Command("view", "view", "look at scenes live in a browser", USE),
    Command("export-mesh", "export_mesh", "a mesh: .glb, .ply, .obj, textured if wanted", EXPORT),
    Command("export-web", "export_web", "one HTML file that draws scenes live in any browser", EXPORT),
    Command("export-onnx", "export_onnx", "the field as a graph for other programs", EXPORT),
    Command("export-model", "export_model", "of a run, what others need to use it", EXPORT),
)
FEWEST_LETTERS = 0.5  # of a mistyped name that must be right for a guess to be offered


def main() -> NoReturn:
    """Runs `hypernerf NAME ARGUMENTS`; exit codes as those of tools/."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        sys.exit(0)
    if arguments[0] == "--version":
        print(f"hypernerf {__version__}")
        sys.exit(0)
    command = find_command(arguments[0])
    if command is None:
        print(f"error: {unknown(arguments[0])}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"hypernerf {command.name}", *arguments[1:]]  # what help and errors call the program
    from .common import run

    run(lambda rest: call(command, rest))


def call(command: Command, arguments: Sequence[str]) -> int | None:
    """Imports the command's module and runs it in this process. Raises `InputError` as it does."""
    code: int | None = importlib.import_module(f"{__package__}.{command.module}").main(arguments)
    return code


def find_command(name: str) -> Command | None:
    """By its name, with underscores or dashes; None if there is none."""
    return next((command for command in COMMANDS if command.name == name.replace("_", "-")), None)


def unknown(name: str) -> str:
    """What is said to someone who asks for a command that does not exist."""
    names = [command.name for command in COMMANDS]
    near = get_close_matches(name.replace("_", "-"), names, 1, FEWEST_LETTERS)
    guess = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}:"
    return f"no command {name[:60]!r}: {guess} see hypernerf --help"


def usage() -> str:
    """The help page: every command with one line, by what one wants to do."""
    lines = ["usage: hypernerf COMMAND …", "", "From a few posed images of an object to a small radiance field.", ""]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        lines += [f"{group}:", *(f"  {c.name:14} {c.help}" for c in COMMANDS if c.group == group), ""]
    lines += [
        "`hypernerf COMMAND --help` has the options and an example. From a clone, `python tools/NAME.py` does the same.",
        "", "example:", "  hypernerf reconstruct runs/quickstart --scene my_chair -o out/mine.field.safetensors",
        "  hypernerf export-web out/mine.field.safetensors -o out/mine.html",
    ]  # fmt: skip
    return "\n".join(lines)
