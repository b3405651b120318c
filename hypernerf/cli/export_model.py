"""export_model: of a run, what others need to use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..config import dump_yaml, load_yaml
from ..fields.delta import BASE_FILE
from ..files import write_atomically
from ..training.checkpoint import load_checkpoint, saved_steps, write_weights
from ..types import InputError
from .common import Parser, check_writable, console, warn
from .hub import push_to_hub
from .model_card import card_data, model_card
from .session import Run, load_run
from .shared_base import run_base


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Write what reconstruct.py and evaluate.py need of a run, and nothing else: its configuration and its weights in half "
        "precision, about an eighth of a checkpoint with its training state; the base that reconstruct.py --delta needs, made of "
        "some training scenes; and a model card (README.md) with the run's data, budget and figures, and those of "
        "RUN/held_out.json, if it is there. The folder takes a run's place; with --push it is also uploaded, and others name it "
        "hub:OWNER/NAME instead of a run.",
        "  python tools/export_model.py runs/quickstart -o out/model",
    )
    parser.add_run()
    parser.add_output("folder to write", metavar="DIR")
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="upload it to this repository of the Hugging Face hub (extra hub, and a login)"
    )
    parser.add_argument("--private", action="store_true", help="if the repository is made anew, for its owner alone")
    options = parser.parse_args(arguments)
    run = load_run(options.run)  # what cannot be loaded is not worth handing on
    if options.output.resolve() == run.folder.resolve():
        raise InputError(f"-o {options.output}: is the run itself, which could not be resumed then: choose another folder")
    others = [step for step in saved_steps(options.output) if step != run.step]
    if others:  # the newest counts, and the card is of one
        raise InputError(f"-o {options.output}: holds a model of step {others[-1]} already: remove it, or choose another folder")
    _, tensors = load_checkpoint(run.folder)
    check_writable(options.output / "checkpoints", "-o")
    values = load_yaml(run.folder / "config.yaml")
    source = values["source"]
    values["source"] = source | {name: None for name in ("root", "cache") if name in source}  # places on this machine
    write_atomically(options.output / "config.yaml", lambda path: path.write_text(dump_yaml(values)))
    card = model_card(card_data(run, options.output.resolve().name))
    write_atomically(options.output / "README.md", lambda path: path.write_text(card))
    _hand_on_base(run, options.output)
    path = write_weights(options.output, run.step, {name: value.to(torch.float16) for name, value in tensors.items()})
    console.print(f"{options.output}: step {run.step}, {path.stat().st_size / 1e6:.1f} MB")
    if options.push:
        console.print(push_to_hub(options.output, options.push, options.private))


def _hand_on_base(run: Run, folder: Path) -> None:
    """Others may not have the scenes that it is made of."""
    try:
        run_base(run).save(folder / BASE_FILE)
    except InputError as error:
        warn(f"{folder}: without a base, so reconstruct.py --delta will not do: {error}")
