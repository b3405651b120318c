"""Views one at a time: a state of constant size is all that is kept of a scene, and gives its weights after each view.

The latent is a recurrent unit's (`encoder.set.kind: recurrent`); what is lifted into the scene are means, deviations and extremes
over the views, which run along exactly. So the code after n views is the one that `Generator.encode` makes of the n at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..ops import Looks, summary
from ..types import ContextViews, InputError
from .generator import Generator, SceneCode
from .set_encoder import RecurrentSetEncoder


@dataclass(frozen=True)
class LiftState:
    """Running statistics over views: of learned features, and of the colors seen (see `Looks`)."""

    mean: Float[Tensor, "scene channel point"]
    most: Float[Tensor, "scene channel point"]
    color: Float[Tensor, "scene 3 place"]
    squares: Float[Tensor, "scene 3 place"]  # mean squared distance from `color`
    least: Float[Tensor, "scene 1 place"]
    inside: Float[Tensor, "scene place"]


@dataclass(frozen=True)
class StreamState:
    """What is known of scenes after `views` views."""

    views: int
    hidden: Float[Tensor, "scene width"] | None = None
    lifted: LiftState | None = None

    @property
    def bytes_a_scene(self) -> int:
        """Of memory; the same after any number of views but none."""
        parts = [self.hidden, *([] if self.lifted is None else vars(self.lifted).values())]
        return sum(part[0].nbytes for part in parts if part is not None)


def read_view(generator: Generator, state: StreamState, view: ContextViews) -> StreamState:
    """The state after one view more of each scene; start with `StreamState(0)`.

    Raises:
        InputError: the generator's set encoder keeps no state.
    """
    encoder = generator.set_encoder
    if not isinstance(encoder, RecurrentSetEncoder):
        raise InputError("this run reads its views as a set: views one at a time need encoder.set.kind recurrent")
    if view.images.shape[1] != 1:
        raise ValueError(f"one view at a time, not {view.images.shape[1]}")
    stages = generator.image_encoder.stages(view.images, view.cameras)
    hidden = encoder.step(state.hidden, generator.image_encoder.tokens(stages, 1)[:, 0])
    state = StreamState(state.views + 1, hidden, state.lifted)
    if generator.lift is None:
        return state
    learned, looks = generator.lift.sampled(view, stages)[:, 0], generator.lift.looks(view)
    return replace(state, lifted=_with(state.lifted, state.views, learned, looks))


def _with(old: LiftState | None, views: int, learned: Tensor, looks: Looks) -> LiftState:
    """Running statistics of `views` views, the last of which is new (Welford 1962)."""
    color, least, inside = looks.colors[:, 0], looks.foreground[:, 0], looks.inside[:, 0]
    if old is None:
        return LiftState(learned, learned, color, torch.zeros_like(color), least, inside)
    share = 1 / views
    mean = old.color + (color - old.color) * share
    squares = old.squares + ((color - old.color) * (color - mean) - old.squares) * share
    return LiftState(
        old.mean + (learned - old.mean) * share, torch.maximum(old.most, learned), mean, squares,
        torch.minimum(old.least, least), old.inside + (inside - old.inside) * share,
    )  # fmt: skip


def code_of(generator: Generator, state: StreamState) -> SceneCode:
    """What a hypernetwork reads, after at least one view."""
    if state.hidden is None or not isinstance(generator.set_encoder, RecurrentSetEncoder):
        raise ValueError("no view was read yet")
    latent, now = generator.set_encoder.latent(state.hidden), state.lifted
    if generator.lift is None or now is None:
        return SceneCode(latent)
    seen = summary(now.color, now.squares, now.least, now.inside)
    return SceneCode(latent, generator.lift.fused(now.mean, now.most, seen))
