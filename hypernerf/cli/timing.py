"""Timing that stands up to a busy machine: warm-up, rivals in turn, medians, and limits measured in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """One row. `ratio`: how many times as fast as the row's reference; `share` of the ceiling of float32 products."""

    what: str
    backend: str
    milliseconds: float
    ratio: float | None = None
    share: float | None = None
    error: float | None = None  # relative, against float64
    psnr: float | None = None  # of a picture, in dB, against the same field sampled densely
    samples: float | None = None  # points at which the field was asked, as a share of those of the row's reference


def medians(rivals: Mapping[str, Work], device: torch.device, repeats: int) -> dict[str, float]:
    """Median seconds of each, after one warm-up each. They take turns, so that all meet the same moments of the machine."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(repeats + 1):
        for name, work in rivals.items():
            elapsed = _seconds(work, device)
            if turn:
                seconds[name].append(elapsed)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _seconds(work: Work, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_ceiling(device: torch.device, dtype: torch.dtype, size: int = 2048, repeats: int = 5) -> float:
    """FLOP/s of the best of some large square matrix products: what this machine gives at most."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = min(_seconds(lambda: a @ b, device) for _ in range(repeats + 1))
    return 2 * size**3 / best


def copy_ceiling(device: torch.device, floats: int = 1 << 24, repeats: int = 5) -> float:
    """Bytes/s read and written by the best of some large copies."""
    source, target = torch.zeros(floats, device=device), torch.zeros(floats, device=device)
    best = min(_seconds(lambda: target.copy_(source), device) for _ in range(repeats + 1))
    return 8 * floats / best


def peak_memory(device: torch.device) -> int:
    """Bytes that this process held at most (of the device's memory on a GPU)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
