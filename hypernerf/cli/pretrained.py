"""Models that come with the library: run folders without their training state, named `pretrained:NAME`."""

from __future__ import annotations

from pathlib import Path

from ..types import InputError

PREFIX = "pretrained:"
SHIPPED = Path(__file__).parent.parent / "pretrained"


def model_folder(name: Path | str) -> Path:
    """The folder of a run as it is, or that of a model which comes with the library.

    Raises:
        InputError: no such model.
    """
    if not str(name).startswith(PREFIX):
        return Path(name)
    folder = SHIPPED / str(name).removeprefix(PREFIX)
    if not (folder / "config.yaml").is_file():
        names = [PREFIX + path.parent.name for path in sorted(SHIPPED.glob("*/config.yaml"))]
        raise InputError(f"{name}: no such model comes with the library, only: {', '.join(names) or 'none'}")
    return folder
