"""y_b = W x_b[source]: one linear map of rows gathered into groups."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from . import _cpu_gathered, _torch
from .backends import is_compiled


def gathered_product(
    values: Float[Tensor, "scene place color"],
    source: Int[Tensor, "group within"],
    weight: Float[Tensor, "channel within*color"],
    backend: str = "auto",
) -> Float[Tensor, "scene channel group"]:
    """For each group, `weight` times the values of its places, end to end; a place of len(place) holds zeros.

    Args:
        values: data; their gradient is the reference's, if it is asked for.
        source: for each group the places in it, 0..place.
        backend: `torch` is the reference, which writes down all groups; on a CPU `cpu` lays out a few groups at a time.

    Raises:
        InputError: unknown backend, or one that cannot run here.
    """
    return (_cpu_gathered if is_compiled(backend, values.device) else _torch).gathered_product(values, source, weight)
