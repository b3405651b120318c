"""Training on more scenes than fit into memory: a window that slides over the shards they are packed in.

An epoch is a permutation of the shards, drawn from (seed, epoch); epochs follow each other without end. The window holds W
shards in a row of that sequence. At step s it begins at position

    p(s) = floor(s * B / (S * R))

where B scenes are drawn a step, S are in a shard, and R is how often a scene is drawn on average while it is there. The window of
the first step has one shard, that of each further step one more, up to W: the first batch does not wait for all of them. So what
is in the window is a function of (seed, step) alone: a run that is taken up reads what it needs then, whatever it read before,
and goes on as if it had never stopped. A thread reads the shards that come next meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .store import StoredScene

AHEAD = 1  # shards read before they are needed


@dataclass(frozen=True)
class Window:
    """Which shards are in memory when."""

    shards: int  # of the collection
    shard_scenes: int  # in a shard; the last may have fewer
    buffer: int  # scenes to be held, in whole shards
    repeat: int  # draws of a scene while it is held, on average
    batch: int  # scenes drawn a step
    seed: int

    @property
    def length(self) -> int:
        """Shards held, but for the first steps; all of them when they are no more than that."""
        return min(self.shards, -(-self.buffer // self.shard_scenes))

    def position(self, step: int) -> int:
        """Of the window's first shard in the endless sequence."""
        return 0 if self.length == self.shards else step * self.batch // (self.shard_scenes * self.repeat)

    def held(self, step: int) -> int:
        """Shards held at a step."""
        return self.length if self.length == self.shards else min(self.length, 1 + step)

    def shard_at(self, position: int) -> int:
        """Number of the shard at a place of the sequence. A collection that is held whole stays in its own order."""
        if self.length == self.shards:
            return position
        epoch, place = divmod(position, self.shards)
        return int(_order(self.seed, epoch, self.shards)[place])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


class SceneStream:
    """The training scenes of each step, the same whenever and from wherever it is asked.

    Args:
        window: which shards are held when.
        read: all scenes of a shard, in scene-sphere coordinates, with hulls where training asks for them. Called in a thread.
        sample: scenes that stand for all, where all are asked for: their mean image, their mean code.
        count: of all scenes.
        digest: of all that can be read.
    """

    def __init__(
        self, window: Window, read: Callable[[int], list[StoredScene]], sample: list[StoredScene], count: int, digest: str
    ) -> None:
        self.window, self.read, self.sample, self.digest = window, read, sample, digest
        self._count = count
        self._held: dict[int, Future[list[StoredScene]]] = {}  # by position in the sequence
        self._scenes: list[StoredScene] = []
        self._there = range(0)  # positions of the shards that `_scenes` are of
        self._reader = ThreadPoolExecutor(1, "scenes")

    def __len__(self) -> int:
        return self._count

    def at(self, step: int) -> list[StoredScene]:
        """The scenes to draw the batch of `step` from. Raises `InputError` when a shard cannot be read."""
        position, length = self.window.position(step), self.window.length
        there = range(position, position + self.window.held(step))
        if there != self._there:
            ahead = 0 if length == self.window.shards else AHEAD
            self._held = {place: self._asked(place) for place in range(position, position + length + ahead)}
            self._scenes = [scene for place in there for scene in self._held[place].result()]
            self._there = there
        return self._scenes

    def close(self) -> None:
        """Ends the thread that reads. `at` must not be called any more."""
        self._reader.shutdown(cancel_futures=True)

    def _asked(self, position: int) -> Future[list[StoredScene]]:
        return self._held.get(position) or self._reader.submit(self.read, self.window.shard_at(position))


Scenes = list[StoredScene] | SceneStream  # what a trainer trains on


def scenes_at(scenes: Scenes, step: int) -> list[StoredScene]:
    """What the batch of `step` is drawn from."""
    return scenes.at(step) if isinstance(scenes, SceneStream) else scenes


def sample_of(scenes: Scenes) -> Sequence[StoredScene]:
    """All scenes, or those that stand for them."""
    return scenes.sample if isinstance(scenes, SceneStream) else scenes
