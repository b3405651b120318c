"""What all peers share: the scenes (the very ones our own runs read), what a peer must be able to do, and conventions.

Peers expect a white background, OpenGL camera axes and, where noted, a principal point in the image's middle. Cameras are in
scene-sphere coordinates, so that every object lies in the unit sphere at the origin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hypernerf.cli.common import sphere_of
from hypernerf.cli.fit import load_training
from hypernerf.cli.session import load_scenes
from hypernerf.geometry import to_opengl
from hypernerf.training import Experiment, StoredScene
from hypernerf.types import InputError
from scenes.source import SourceConfig, Split

from .repository import Repository


@dataclass(frozen=True)
class Moment:
    """A training step. All randomness of a step follows from it, so that a resumed run sees what it would have seen."""

    seed: int
    step: int
    progress: float  # 0 to 1 over the run

    def generator(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.step])

    def seed_global(self) -> None:
        """Seeds the global generators of NumPy and torch, from which the peers' own code draws."""
        first, second = np.random.SeedSequence([self.seed, self.step, 1]).generate_state(2)
        np.random.seed(first)
        torch.manual_seed(int(second))


class Peer(Protocol):
    """A model under training. Its state is that of `model` and `optimizer`."""

    model: nn.Module
    optimizer: torch.optim.Optimizer

    def step(self, moment: Moment) -> float:
        """One optimiser step; returns the loss. `model` is in training mode, the global generators are seeded."""
        ...

    def predict(self, scene: StoredScene, views: Sequence[int], targets: Sequence[int]) -> Float[Tensor, "target height width 3"]:
        """The views `targets` of a scene of which only the images of `views` are read. `model` is in evaluation mode."""
        ...


@dataclass(frozen=True)
class Material:
    """What a peer is trained and scored on."""

    train: list[StoredScene]
    watched: list[StoredScene]  # unseen scenes that log lines are about
    scored: list[StoredScene]
    near: float  # from any camera, the scene sphere lies between these distances
    far: float
    experiment: Experiment
    repository: Path | None
    also: tuple[StoredScene, ...] = ()  # scored by themselves: of a pack that was held out


@dataclass(frozen=True)
class Kind:
    """A peer as the command knows it. `build(settings, material, counts)` makes one for some numbers of context views."""

    settings: type  # frozen dataclass with a `learning_rate`
    build: Callable[[Any, Material, Sequence[int]], Peer]
    any_count: bool  # one model reads any number of context views; otherwise one model is trained for each
    repository: Repository | None = None
    fits_scored: bool = False  # trains on the context views of the very scenes that are scored


def load_material(
    source: SourceConfig, experiment: Experiment, kind: Kind, split: Split, repository: Path | None, also: str | None = None,
    watched: int = 4,
) -> Material:  # fmt: skip
    """The scenes of a configuration, loaded exactly as a training run of ours loads them.

    Args:
        also: `source.root` of other scenes whose test split is to be scored besides.

    Raises:
        InputError: scenes that no peer could read fairly.
    """
    alone = kind.fits_scored and sphere_of(source) is not None  # then nothing is asked of the training scenes
    train, source = ([], source) if alone else load_training(source)
    scored = load_scenes(source, split, sphere_of(source))
    seen = scored if kind.fits_scored else load_scenes(source, "val", sphere_of(source))
    others = () if also is None else tuple(load_scenes(replace(source, root=also), "test", sphere_of(source)))
    require_white([*train, *seen, *scored, *others])
    near, far = depth_bounds(train or scored)
    return Material(train, seen[:watched], scored, near, far, experiment, repository, others)


def depth_bounds(scenes: Sequence[StoredScene], least: float = 0.05) -> tuple[float, float]:
    """(near, far): the least and greatest distance from a camera to the origin, less and plus the unit sphere's radius."""
    distances = torch.cat([scene.cameras.positions.norm(dim=-1) for scene in scenes])
    return max(float(distances.min()) - 1, least), float(distances.max()) + 1


def require_white(scenes: Sequence[StoredScene]) -> None:
    """Raises `InputError` for a background that is not white: the peers composite over white."""
    for scene in scenes:
        if bool((scene.background < 1).any()):
            raise InputError(f"{scene.scene_id}: the peers assume a white background: set source.background to 1 1 1")


def require_centered(scenes: Sequence[StoredScene]) -> None:
    """Raises `InputError` for a principal point that is not the image's middle."""
    for scene in scenes:
        middle = torch.tensor([scene.cameras.width / 2, scene.cameras.height / 2])
        if bool(((scene.cameras.intrinsics[:, 2:] - middle).abs() > 0.01).any()):
            raise InputError(f"{scene.scene_id}: this peer's cameras have cx, cy in the image's middle, this scene's do not")


def scene_batch(scenes: Sequence[StoredScene], size: int, moment: Moment) -> list[StoredScene]:
    """The scenes of one step: epoch after epoch in a new order, the last incomplete batch of each left out."""
    size = min(size, len(scenes))
    epoch, place = divmod(moment.step, len(scenes) // size)
    order = np.random.default_rng([moment.seed, epoch, 2]).permutation(len(scenes))
    return [scenes[i] for i in order[place * size : (place + 1) * size]]


def draw_support_and_query(scene: StoredScene, supports: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """`supports` views to read and another one, on which the object is seen, to be right about."""
    shown = [view for view in range(len(scene)) if bool((scene.images[view] < 255).any())]
    query = int(rng.choice(shown))
    others = [view for view in range(len(scene)) if view != query]
    return rng.choice(others, supports, replace=False).tolist(), [query]


@dataclass(frozen=True)
class PosedImages:
    """Views in the form of Trans-INR and the code built on it, for one scene or, stacked, several."""

    images: Float[Tensor, "*scene view 3 height width"]  # in [0, 1]
    poses: Float[Tensor, "*scene view 3 4"]  # camera-to-world, OpenGL axes
    focals: Float[Tensor, "*scene view 2"]  # in pixels


def posed_images(scene: StoredScene, views: Sequence[int]) -> PosedImages:
    """Some views of one scene."""
    cameras = scene.cameras[list(views)]
    poses = to_opengl(cameras.camera_to_world)[:, :3].contiguous()
    return PosedImages(scene.image(list(views)).permute(0, 3, 1, 2).contiguous(), poses, cameras.intrinsics[:, :2].contiguous())


def stacked(parts: Sequence[PosedImages]) -> PosedImages:
    """Several scenes' views with a new first dimension."""
    return PosedImages(*(torch.stack([getattr(p, name) for p in parts]) for name in ("images", "poses", "focals")))


def support_and_query(scenes: Sequence[StoredScene], supports: int, rng: np.random.Generator) -> tuple[PosedImages, PosedImages]:
    """(views to read, a view to be right about), drawn anew for each of the scenes."""
    drawn = [draw_support_and_query(scene, supports, rng) for scene in scenes]
    support = stacked([posed_images(scene, chosen) for scene, (chosen, _) in zip(scenes, drawn, strict=True)])
    return support, stacked([posed_images(scene, query) for scene, (_, query) in zip(scenes, drawn, strict=True)])
