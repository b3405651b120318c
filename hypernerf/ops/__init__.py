"""Stateless numerical operations: one public function each, its torch reference, its fast backends."""

from .backends import BACKENDS, pick_backend
from .batched_mlp import batched_mlp, encoded_mlp
from .encodings import frequency_encoding, sample_planes, sample_volume
from .gathered_product import gathered_product
from .volrend import composite, volume_weights

__all__ = [
    "BACKENDS", "batched_mlp", "composite", "encoded_mlp", "frequency_encoding", "gathered_product", "pick_backend",
    "sample_planes", "sample_volume", "volume_weights",
]  # fmt: skip
