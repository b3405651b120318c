"""Models by name: run folders without their training state, shipped (`pretrained:NAME`) or on a hub (`hub:OWNER/NAME`)."""

from __future__ import annotations

from pathlib import Path

from ..types import InputError
from .hub import downloaded

PREFIX = "pretrained:"
HUB_PREFIX = "hub:"  # huggingface_hub's; OWNER/NAME or OWNER/NAME@REVISION
SHIPPED = Path(__file__).parent.parent / "pretrained"


def model_folder(name: Path | str) -> Path:
    """The folder of a run as it is, that of a model which comes with the library, or that of a downloaded one.

    Raises:
        InputError: no such model, or it cannot be fetched.
    """
    if str(name).startswith(HUB_PREFIX):
        return downloaded(str(name).removeprefix(HUB_PREFIX))
    if not str(name).startswith(PREFIX):
        return Path(name)
    folder = SHIPPED / str(name).removeprefix(PREFIX)
    if not (folder / "config.yaml").is_file():
        names = [PREFIX + path.parent.name for path in sorted(SHIPPED.glob("*/config.yaml"))]
        raise InputError(f"{name}: no such model comes with the library, only: {', '.join(names) or 'none'}")
    return folder
