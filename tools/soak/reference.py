"""A fixed computation of about the mix that a training step is, to tell a slower training from a busier machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Cost:
    """Seconds: on the clock, and of all of this process' threads together."""

    wall: float
    cpu: float


class Reference:
    """Convolutions, batched matrix products and element-wise passes, with gradients. It knows nothing of this project's code."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def fixed(*shape: int) -> torch.Tensor:
            return torch.rand(shape, generator=generator) / 8

        self._images, self._points = fixed(8, 3, 64, 64), fixed(8, 4096, 32)
        self._leaves = [fixed(32, 3, 4, 4), fixed(64, 32, 3, 3), fixed(8, 32, 32), fixed(8, 32, 32)]
        self()  # what is set up at first is not timed

    def __call__(self) -> Cost:
        wall, cpu = time.perf_counter(), time.process_time()
        first, second, inner, outer = (leaf.clone().requires_grad_() for leaf in self._leaves)
        features = torch.nn.functional.conv2d(torch.nn.functional.conv2d(self._images, first, stride=4).relu(), second).relu()
        values = torch.bmm(torch.bmm(self._points, inner).relu(), outer).sigmoid()
        (features.square().mean() + values.square().mean()).backward()
        return Cost(time.perf_counter() - wall, time.process_time() - cpu)
