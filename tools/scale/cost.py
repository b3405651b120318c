"""The model of cost of docs/scale.md: seconds and dollars of a step, for any number of ranks.

step    = compute + update + exposed + agreements
compute = scenes_per_rank * flops_per_scene / sustained
update  = 36 parameters / memory                                        (Adam and the average: nine passes of 4 bytes)
reduce  = 2 (n - 1) / n * bytes / bandwidth + 2 (n - 1) * latency       (ring all-reduce: Patarasu & Yuan 2009)
exposed = max(reduce / buckets, reduce - 2/3 compute)                   (hidden behind the backward pass but for its last bucket)
agree   = 2 * 2 ceil(log2 n) * latency                                  (two small all-reduces, by a tree)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BUCKET = 25 * 2**20  # bytes, of DDP's


@dataclass(frozen=True)
class Work:
    """A configuration: its parameters (float32), and the floating-point operations of a scene forward and backward."""

    parameters: int
    flops_per_scene: float
    scenes_per_rank: int

    @property
    def gradient_bytes(self) -> int:
        return 4 * self.parameters


@dataclass(frozen=True)
class Cluster:
    """Of a rank: FLOP/s sustained, bytes/s of its memory, bytes/s sent beside the others of its node, seconds a message."""

    sustained: float
    memory: float
    bandwidth: float
    latency: float
    dollars_per_rank_hour: float = 0.0


@dataclass(frozen=True)
class Step:
    """Seconds of a step and its parts (of `reduce`, `exposed` is waited for), and what 10^9 scenes drawn for batches cost."""

    compute: float
    update: float
    reduce: float
    exposed: float
    agreements: float
    scenes_per_second: float
    dollars_per_billion_scenes: float

    @property
    def seconds(self) -> float:
        return self.compute + self.update + self.exposed + self.agreements


def ring_bytes(ranks: int, size: float) -> float:
    """What each rank sends, and receives, in a ring all-reduce of `size` bytes."""
    return 2 * (ranks - 1) / ranks * size


def step(work: Work, cluster: Cluster, ranks: int) -> Step:
    compute = work.scenes_per_rank * work.flops_per_scene / cluster.sustained
    update = 36 * work.parameters / cluster.memory
    reduce = ring_bytes(ranks, work.gradient_bytes) / cluster.bandwidth + 2 * (ranks - 1) * cluster.latency
    exposed = max(reduce / math.ceil(work.gradient_bytes / BUCKET), reduce - compute * 2 / 3) if ranks > 1 else 0.0
    agreements = 4 * math.ceil(math.log2(ranks)) * cluster.latency
    rate = ranks * work.scenes_per_rank / (compute + update + exposed + agreements)
    dollars = 1e9 / rate / 3600 * ranks * cluster.dollars_per_rank_hour
    return Step(compute, update, reduce, exposed, agreements, rate, dollars)
