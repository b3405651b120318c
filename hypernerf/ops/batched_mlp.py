"""y_b = MLP(x_b; W_b) for B scenes, each with weights of its own: the operation peculiar to hypernetworks."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from .backends import pick_backend


def batched_mlp(
    inputs: Float[Tensor, "scene point features"],
    weights: Sequence[Float[Tensor, "scene outputs inputs"]],
    backend: str = "auto",
) -> Float[Tensor, "scene point outputs"]:
    """ReLU network without biases: h <- relu(W_i h) for all but the last matrix, then W_n h, scene by scene.

    Args:
        inputs: one row a point; a constant feature among them serves as the first layer's bias.
        weights: matrices [scene, out, in] from first to last.
        backend: `torch` is the reference; `auto` the fastest one of float32 there is for the inputs' device; `cpu_bf16` has the
            outputs of `cpu` and gradients of about 2 digits, in two thirds of the time.

    Raises:
        InputError: unknown backend, or one that cannot run here.
    """
    return pick_backend(backend, inputs.device).batched_mlp(inputs, weights)


def encoded_mlp(
    positions: Float[Tensor, "scene point 3"],
    octaves: int,
    planes: Float[Tensor, "scene 3 channel row column"] | None,
    volume: Float[Tensor, "scene 1 channel z y x"] | None,
    weights: Sequence[Float[Tensor, "scene outputs inputs"]],
    backend: str = "auto",
) -> Float[Tensor, "scene point outputs"]:
    """`batched_mlp` of what a field sees of positions in [-1, 1]^3: frequencies, the planes' features, the volume's features.

    The volume's first features are also added to the outputs, one to each: a short way from what generated the volume to what
    is seen; the network adds detail. Backends that can write these features where the network reads them, and nowhere else.
    """
    return pick_backend(backend, positions.device).encoded_mlp(positions, octaves, planes, volume, weights)
