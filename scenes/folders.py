"""Finding scenes in folders, and dividing them into splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hypernerf.reading import inside
from hypernerf.types import InputError

from .source import Reading, SceneError, Split

IMAGES = (".png", ".jpg", ".jpeg", ".webp")


def require_root(root: str | None, name: str) -> str:
    if root is None:
        raise InputError(f"source {name!r} reads files: set source.root to their folder")
    return root


def listed(folder: Path) -> list[Path]:
    """What is in a scene's folder, sorted by name. Raises `SceneError` when it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise SceneError(f"{folder}: cannot be read as a folder ({error.strerror})") from None


def own_file(folder: Path, name: Path | str, reading: Reading, named_by: object = None) -> Path:
    """What a scene's folder holds under `name`. Raises `SceneError` when that leads out of the folder."""
    return inside(folder, name, follow_links=reading.follow_links, named_by=named_by, error=SceneError)


def image_names(folder: Path) -> list[str]:
    """Names of the images right in `folder`, sorted. `folder` need not exist."""
    if not folder.is_dir():
        return []
    return [path.name for path in listed(folder) if path.suffix.lower() in IMAGES and not path.name.startswith(".")]


def scene_folders(root: Path, is_scene: Callable[[Path], bool]) -> list[Path]:
    """Folders in `root`, or one level further down, that hold a scene and are not hidden; by name. `root` need not exist."""
    if not root.is_dir():
        return []
    children = sorted(path for path in root.iterdir() if _shown(path))
    found = [path for path in children if is_scene(path)]
    return found or [path for child in children for path in sorted(child.iterdir()) if _shown(path) and is_scene(path)]


def _shown(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def divide(names: Sequence[str], shares: dict[Split, float], seed: int = 0) -> dict[Split, list[str]]:
    """A seeded division by shares that sum to 1, each split sorted; every split that has a share gets at least one name."""
    order = np.random.default_rng(seed).permutation(len(names))
    wanted = [name for name, share in shares.items() if share > 0]
    counts = {name: max(1, round(shares[name] * len(names))) for name in wanted[1:]}
    result: dict[Split, list[str]] = {name: [] for name in shares}
    end = len(names)
    for name in reversed(wanted[1:]):
        start = max(1, end - counts[name]) if end > 1 else end
        result[name] = sorted(names[i] for i in order[start:end])
        end = start
    result[wanted[0]] = sorted(names[i] for i in order[:end])
    return result
