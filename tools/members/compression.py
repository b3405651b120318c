"""What many scenes take on disk: stored one by one, as changes of a shared base, or as a model and the images it reads."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from PIL import Image

from hypernerf.cli.common import tracked
from hypernerf.cli.session import Run
from hypernerf.cli.shared_base import run_base
from hypernerf.export.sheet import to_bytes
from hypernerf.fields import save_delta_file, save_scene_file
from hypernerf.training import StoredScene, reconstruct

from .output import Cell

COUNTS = (10, 100, 1000, 10_000)


@dataclass(frozen=True)
class Kind:
    """Scenes kept one way: what is kept once, and for each scene, in bytes."""

    name: str
    once: int
    each: float

    def total(self, scenes: int) -> float:
        return self.once + scenes * self.each


def kinds(run: Run, scenes: Sequence[StoredScene], views: Sequence[int]) -> list[Kind]:
    """Whole files; delta files; the model in half precision with the context views as PNGs. Means over `scenes`."""
    base = run_base(run)
    whole = delta = images = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene"
        for scene in tracked(scenes, "compression", len(scenes)):
            field = run.scene_field(scene.scene_id, reconstruct(run.generator, scene, views), scene.cameras)
            save_scene_file(path, field)
            whole += path.stat().st_size
            save_delta_file(path, field, base)
            delta += path.stat().st_size
            images += sum(_png_bytes(scene, view) for view in views)
        shared = (Path(folder) / base.file_name).stat().st_size
    model, count = 2 * sum(p.numel() for p in run.generator.parameters()), len(scenes)
    return [
        Kind("scene files", 0, whole / count), Kind("base and delta files", shared, delta / count),
        Kind(f"model and {len(views)} images", model, images / count),
    ]  # fmt: skip


def _png_bytes(scene: StoredScene, view: int) -> int:
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(scene.image(view))).save(buffer, format="PNG", optimize=True)
    return buffer.tell()


def smaller_from(kind: Kind, other: Kind) -> int | None:
    """The least number of scenes that take fewer bytes as `kind` than as `other`; None if none do."""
    if kind.each >= other.each:
        return None
    return max(1, ceil((kind.once - other.once) / (other.each - kind.each) + 1e-9))


def compression_rows(found: Sequence[Kind]) -> list[dict[str, Cell]]:
    """A row a kind: bytes once and each, megabytes for each of `COUNTS`, and from how many scenes it beats the first kind."""
    rows: list[dict[str, Cell]] = []
    for kind in found:
        row: dict[str, Cell] = {"kept as": kind.name, "bytes once": kind.once, "bytes a scene": kind.each}
        row |= {f"MB of {count:,}": kind.total(count) / 1e6 for count in COUNTS}
        rows.append(row | {"smaller from N": smaller_from(kind, found[0]) if kind is not found[0] else None})
    return rows
