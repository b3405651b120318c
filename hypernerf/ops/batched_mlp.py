"""y_b = MLP(x_b; W_b) for B scenes, each with weights of its own: the operation peculiar to hypernetworks."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from ..types import InputError
from . import _torch


def batched_mlp(
    inputs: Float[Tensor, "scene point features"],
    weights: Sequence[Float[Tensor, "scene outputs inputs"]],
    backend: str = "auto",
) -> Float[Tensor, "scene point outputs"]:
    """ReLU network without biases: h <- relu(W_i h) for all but the last matrix, then W_n h, scene by scene.

    Args:
        inputs: one row a point; a constant feature among them serves as the first layer's bias.
        weights: matrices [scene, out, in] from first to last.
        backend: `torch` is the reference; `auto` the fastest one there is for the inputs' device.

    Raises:
        InputError: unknown backend.
    """
    if backend in ("auto", "torch"):
        return _torch.batched_mlp(inputs, weights)
    raise InputError(f"unknown backend {backend!r}: choose one of auto, torch")
