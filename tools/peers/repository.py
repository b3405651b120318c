"""A peer's own repository: found, put on the import path, and given stand-ins for what it imports but does not need here."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

from hypernerf.types import InputError


@dataclass(frozen=True)
class Repository:
    """Where a peer's code comes from. `commit` is the one the adapter was written for."""

    url: str
    commit: str
    marker: str  # a file by which a clone is known
    packages: tuple[str, ...]  # what its code imports besides torch and NumPy and cannot do without
    unused: tuple[str, ...]  # modules that it imports for what is not done here: logging, data sets, pretrained weights
    sources: str = "."  # the folder of it that imports start from

    def open(self, folder: Path | None) -> Path:
        """The clone at `folder`, ready to be imported from. Nothing of it has been imported yet.

        Raises:
            InputError: no clone of it there, or a package that it needs is missing.
        """
        mend = f"git clone {self.url} (commit {self.commit[:12]} was used) and give the folder with --repo"
        if folder is None:
            raise InputError(f"this peer runs from its own code: {mend}")
        if not (folder / self.marker).is_file():
            raise InputError(f"{folder}: holds no {self.marker}: {mend}")
        for name in self.packages:
            try:
                importlib.import_module(name)
            except ImportError:
                raise InputError(f"the code of {self.url} needs the package {name}: pip install {name}") from None
        for name in self.unused:
            stand_in(name)
        sys.path.insert(0, str((folder / self.sources).resolve()))
        return folder.resolve()


def checked_out_commit(folder: Path) -> str | None:
    """The commit of a clone; None if git cannot tell."""
    try:
        result = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


class StandIn(types.ModuleType):
    """A module that has every name, each an empty class: enough to be imported from, and no use beyond."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []  # makes it a package

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stand_in(name: str) -> None:
    """Leaves a module that can be imported as it is; otherwise puts a `StandIn` in its place."""
    try:
        importlib.import_module(name)
    except (ImportError, RuntimeError, OSError, AttributeError):  # torchvision without its operators raises several kinds
        module = sys.modules[name] = StandIn(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
