"""Stateless numerical operations: one public function each, its torch reference, its fast backends."""

from .batched_mlp import batched_mlp
from .volrend import composite, volume_weights

__all__ = ["batched_mlp", "composite", "volume_weights"]
