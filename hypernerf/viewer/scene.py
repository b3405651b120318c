"""What can be shown: the fields of scene files, or those that a run makes of the scenes of a split."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from ..fields import FieldWeights, SceneField
from ..models import Generator
from ..training import AdaptConfig, StoredScene, adapt, context_views, reconstruct
from ..types import Cameras, InputError

KEPT = 16  # fields and loaded scenes at hand: going back and forth costs nothing

OnStep = Callable[[int, int], None]  # told (steps done, steps in all)


@dataclass(frozen=True)
class Asked:
    """What is to be shown: `scene`, or the weights `blend` of the way from it to `other` (both numbers of scenes)."""

    scene: int = 0
    other: int = 0
    blend: float = 0.0  # in [0, 1]
    views: int = 1  # context views; scene files have their own already
    steps: int = 0  # of adaptation, at most


@dataclass(frozen=True)
class Context:
    """The images a field was read from, and their cameras [view] in scene-sphere coordinates."""

    images: Float[Tensor, "view height width 3"]
    cameras: Cameras


class Scenes(Protocol):
    most_views: int  # context views that can be read; 0: fields are as they are

    @property
    def names(self) -> Sequence[str]:
        """What people pick from, no two the same."""
        ...

    def field(self, number: int, views: int, steps: int, on_step: OnStep) -> SceneField:
        """Raises `InputError` when the scene cannot be read."""
        ...

    def context(self, number: int, views: int) -> Context | None:
        """What `field` reads; None where that is not known."""
        ...


class FileScenes:
    """Scene files."""

    most_views = 0

    def __init__(self, fields: Sequence[SceneField]) -> None:
        self._fields = list(fields)
        self.names = distinct([plain(field.name) for field in fields])

    def field(self, number: int, views: int, steps: int, on_step: OnStep) -> SceneField:
        return self._fields[number]

    def context(self, number: int, views: int) -> Context | None:
        return None


class RunScenes:
    """Scenes that a generator reads when they are asked for; their fields are kept for a while."""

    def __init__(
        self,
        generator: Generator,
        names: Sequence[str],
        load: Callable[[str], StoredScene],
        views_for: Callable[[int], list[int]],
        as_field: Callable[[str, FieldWeights, Cameras], SceneField],
        most_views: int,
    ) -> None:
        """
        Args:
            load: a scene by its name, in scene-sphere coordinates.
            views_for: which views are read for a given number of them.
            as_field: what a scene file holds (name, weights, the context's cameras).
        """
        self._ids = list(names)
        self.names, self.most_views = distinct([plain(name) for name in names]), most_views
        self._generator, self._load, self._views_for, self._as_field = generator, load, views_for, as_field
        self._scenes: OrderedDict[int, StoredScene] = OrderedDict()
        self._fields: OrderedDict[tuple[int, int, int], SceneField] = OrderedDict()

    def field(self, number: int, views: int, steps: int, on_step: OnStep) -> SceneField:
        return _kept(self._fields, (number, views, steps), lambda: self._read(number, views, steps, on_step))

    def context(self, number: int, views: int) -> Context | None:
        scene, chosen = self._scene(number), self._chosen(number, views)
        return Context(scene.image(chosen), scene.cameras[chosen])

    def _read(self, number: int, views: int, steps: int, on_step: OnStep) -> SceneField:
        scene, chosen = self._scene(number), self._chosen(number, views)
        if steps:
            weights = adapt(self._generator, context_views([scene], chosen), AdaptConfig(steps), on_step).weights
        else:
            weights = reconstruct(self._generator, scene, chosen)
        return self._as_field(self.names[number], weights, scene.cameras[chosen])

    def _scene(self, number: int) -> StoredScene:
        return _kept(self._scenes, number, lambda: self._load(self._ids[number]))

    def _chosen(self, number: int, views: int) -> list[int]:
        chosen, count = self._views_for(views), len(self._scene(number))
        if max(chosen) >= count:
            raise InputError(f"{self._ids[number]}: has {count} views, too few to read views {chosen}: ask for fewer")
        return chosen


def shown_field(scenes: Scenes, asked: Asked, on_step: OnStep = lambda done, total: None) -> SceneField:
    """The field that is asked for. Raises `InputError` when a scene cannot be read."""
    first = scenes.field(asked.scene, asked.views, asked.steps, on_step)
    if asked.blend == 0 or asked.other == asked.scene:
        return first
    return blended(first, scenes.field(asked.other, asked.views, asked.steps, on_step), asked.blend)


def blended(first: SceneField, second: SceneField, share: float) -> SceneField:
    """The field whose weights stand `share` of the way from those of `first` to those of `second`; all else is of `first`.

    It makes sense for fields of one run, whose weights are changes of one base.

    Raises:
        InputError: fields of different architectures, between which there is no way.
    """
    if first.weights.spec != second.weights.spec:
        raise InputError(f"{first.name} and {second.name} have different architectures: blend scenes of one run")
    others = second.weights.tensors
    mixed = {name: torch.lerp(value, others[name], share) for name, value in first.weights.tensors.items()}
    name = f"{first.name}-{second.name}-{round(100 * share)}"
    return replace(first, name=name, weights=FieldWeights(first.weights.spec, mixed).rounded())


def plain(name: str) -> str:
    """A stranger's name with letters, digits, `_`, `-` and `.` alone: it is shown in pages and becomes a file's name."""
    return re.sub(r"[^\w.-]+", "-", name)[:80].strip(".-") or "scene"


def distinct(names: Sequence[str]) -> list[str]:
    """The names, later ones of equal names with a number behind them."""
    taken: set[str] = set()
    result = []
    for name in names:
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}-{number}", number + 1
        taken.add(unique)
        result.append(unique)
    return result


def _kept(store: OrderedDict, key, make: Callable):
    """`store[key]`, made if it is not there; the oldest beyond `KEPT` are forgotten."""
    if key not in store:
        store[key] = make()
    store.move_to_end(key)
    while len(store) > KEPT:
        store.popitem(last=False)
    return store[key]
