"""Taking up a run: it goes on with what it was started with, but for what may change and what is allowed to by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scenes.source import SourceConfig

from ..config import to_dict
from ..training import Experiment
from ..training.streaming import Scenes, SceneStream
from ..types import InputError
from .common import parse_config, sphere_of

FREE = ("evaluate", "render", "source.cache", "train.checkpoint_every", "train.keep", "train.max_skipped", "train.tensorboard",
        "train.validations")  # fmt: skip  # what never changes the weights


@dataclass(frozen=True)
class Settings:
    """A run's configuration, the sphere and the up axis of its source stated once its scenes are known."""

    source: SourceConfig
    experiment: Experiment

    def to_dict(self) -> dict[str, Any]:
        """What config.yaml holds."""
        return {"source": to_dict(self.source), **to_dict(self.experiment)}


def facts_of(settings: Settings, scenes: Scenes) -> dict[str, Any]:
    """What each checkpoint keeps, so that it can be asked whether the run goes on as it was started."""
    return {**settings.to_dict(), "scenes": {"count": len(scenes), "names": _digest(scenes)}}


def _digest(scenes: Scenes) -> str:
    if isinstance(scenes, SceneStream):
        return scenes.digest
    names = "\n".join(scene.scene_id for scene in scenes)
    return hashlib.blake2b(names.encode(), digest_size=8).hexdigest()


def taken_up(settings: Settings, facts: Any, allowed: Sequence[str], folder: Path) -> Settings:
    """`settings`, and where they leave it open, the sphere and the up axis that the run settled on.

    Args:
        facts: as `facts_of` gave them when the run was started, or last went on.
        allowed: keys or sections, such as train.steps or source, that may differ.

    Raises:
        InputError: other settings differ; the message shows them.
    """
    if not isinstance(facts, Mapping):
        raise InputError(f"{folder}: its checkpoints do not say what it was started with: use another --out")
    sections = {key: value for key, value in facts.items() if key != "scenes"}
    then = Settings(*parse_config(sections, f"{folder}, as it was started"))
    sphere, up = sphere_of(settings.source) or sphere_of(then.source), settings.source.up or then.source.up
    if sphere is not None:
        source = replace(settings.source, center=sphere.center, radius=sphere.radius, near=None, far=None, up=up)
        settings = replace(settings, source=source)
    refuse_changes(then.to_dict(), settings.to_dict(), allowed, folder)
    return settings


def refuse_changes(then: Mapping[str, Any], now: Mapping[str, Any], allowed: Sequence[str], folder: Path) -> None:
    """Raises `InputError` that shows what differs, unless it is `FREE` or `allowed`."""
    old, new = dict(_flat(then)), dict(_flat(now))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key) and not _is_in(key, (*FREE, *allowed))]
    if changed:
        shown = ", ".join(f"{key} {old.get(key)} -> {new.get(key)}" for key in changed)
        raise InputError(
            f"{folder}: not what this run was started with: {shown}; use the same, or another --out, or "
            f"--allow-change {' '.join(changed)}"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, value) of all that is not a section."""
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return pairs


def _is_in(key: str, places: Sequence[str]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)
