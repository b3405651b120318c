"""Stateless numerical operations: one public function each, its torch reference, its fast backends."""

from .backends import BACKENDS, pick_backend
from .batched_mlp import batched_mlp, encoded_mlp
from .colors_seen import COLORS, FOREGROUND, LEAST, Looks, colors_seen, looks, summary
from .encodings import frequency_encoding, sample_planes, sample_volume
from .features_seen import features_seen, sampled_features
from .gathered_product import gathered_product
from .integrate import activated, integrate
from .march import BINS, march
from .volrend import composite, volume_weights

__all__ = [
    "BACKENDS", "BINS", "COLORS", "FOREGROUND", "LEAST", "Looks", "activated", "batched_mlp", "colors_seen", "composite",
    "encoded_mlp", "features_seen", "frequency_encoding", "gathered_product", "integrate", "looks", "march", "pick_backend",
    "sample_planes", "sample_volume", "sampled_features", "summary", "volume_weights",
]  # fmt: skip
