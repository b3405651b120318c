"""The ShapeNet renderings of "Learned Initializations" (Tancik et al. 2021): chairs, cars and lamps at 128x128.

`chair_splits.json` lists train, val and test; each name is a folder in `chairs/`, or in a folder of that, with a
`transforms.json` as NeRF-synthetic's and the images beside it: of a frame's `file_path` the last part alone counts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypernerf.reading import inside, read_json
from hypernerf.types import InputError, SceneViews

from .camera_path import FILE_LIMIT, read_transforms
from .folders import own_file, require_root
from .nerfstudio import load_transforms_scene, transforms_frames
from .source import SPLITS, Reading, SceneError, SourceConfig, Split, register_source
from .views import Frame


@dataclass(frozen=True)
class LearnitConfig(SourceConfig):
    """`root` holds `CATEGORY_splits.json` and a folder `CATEGORYs` each. The published views lie 4 away, the object within 2."""

    categories: tuple[str, ...] = ()  # chair, car, lamp; none: all whose lists are there


def is_learnit_scene(folder: Path) -> bool:
    """Whether the first image lies right beside transforms.json and not where its `file_path` says."""
    if not (folder / "transforms.json").is_file():
        return False
    try:
        name = read_transforms(inside(folder, "transforms.json", error=SceneError))["frames"][0].get("file_path")
    except SceneError:
        return False
    if not isinstance(name, str) or not name:
        return False
    there = any(os.path.isfile(folder / candidate) for candidate in (name, f"{name}.png"))
    return not there and os.path.isfile(folder / f"{Path(name).name}.png")


@register_source("learnit", LearnitConfig)
class LearnitSource:
    def __init__(self, config: LearnitConfig) -> None:
        self.config = config
        self.root = Path(require_root(config.root, "learnit"))
        lists = sorted(self.root.glob("*_splits.json")) if self.root.is_dir() else []
        if config.categories:
            lists = [self.root / f"{category}_splits.json" for category in config.categories]
        self._splits: dict[Split, list[str]] = {split: [] for split in SPLITS}
        for path in lists:
            self._add(path, read_json(inside(self.root, path.name, follow_links=config.follow_links), FILE_LIMIT))
        if not any(self._splits.values()):
            raise InputError(f"{self.root}: no CATEGORY_splits.json there whose scenes are there too: check source.root")

    def _add(self, path: Path, values: Any) -> None:
        if not isinstance(values, dict) or not all(
            isinstance(values.get(split, []), list) and all(isinstance(name, str) for name in values.get(split, []))
            for split in SPLITS
        ):
            raise InputError(f"{path}: must list the names of train, val and test")
        category = self.root / f"{path.name.removesuffix('_splits.json')}s"
        inner = sorted(place for place in category.iterdir() if place.is_dir()) if category.is_dir() else []
        # either names or CATEGORY folders carry ShapeNet's number of the category, so few places need a look
        places = [category, *(place for place in inner if not (place / "transforms.json").is_file()), self.root]
        for split in SPLITS:
            for name in values.get(split, []):
                found = self._find(path, places, name)
                # the published lists name some objects whose folders are empty
                self._splits[split] += [] if found is None else [found]

    def _find(self, path: Path, places: list[Path], name: str) -> str | None:
        for place in places:
            inside(place, name, follow_links=self.config.follow_links, named_by=path)
            if os.path.isfile(place / name / "transforms.json"):
                return str((place / name).relative_to(self.root))
        return None

    def scene_ids(self, split: Split) -> list[str]:
        return self._splits[split]

    def load(self, scene_id: str) -> SceneViews:
        return load_learnit_scene(own_file(self.root, scene_id, self.config), self.config.background, self.config, scene_id)


def load_learnit_scene(
    folder: Path, background: tuple[float, float, float], reading: Reading | None = None, scene_id: str | None = None
) -> SceneViews:
    """One object's folder. Raises `SceneError` that names the file."""
    return load_transforms_scene(folder, background, reading, scene_id, beside=True)


def learnit_frames(folder: Path, reading: Reading) -> list[Frame]:
    """The frames of `transforms.json`. Raises `SceneError` that names the file."""
    return transforms_frames(folder, reading, beside=True)
