"""Times of the batched network and of a training step on each backend, beside what the device can do at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from hypernerf.cli.timing import copy_ceiling, medians, product_ceiling
from hypernerf.models import Generator, GeneratorConfig
from hypernerf.ops import encoded_mlp, frequency_encoding
from hypernerf.rendering import render_rays
from hypernerf.types import Cameras, ContextViews, RayBundle

OUTPUTS = 4


@dataclass(frozen=True)
class Sizes:
    """What is timed. The defaults are those the wanted ratios are stated for."""

    scenes: int = 16
    points: int = 131_072
    width: int = 64
    depth: int = 3
    octaves: int = 10  # 64 input features
    ceiling: int = 8192  # side of the matrices
    rays: int = 512
    samples: int = 64
    repeats: int = 20
    chunk: int = 16_384  # points at a time of the chain of products


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    return medians({"": work}, device, repeats)[""]


def ceilings(device: torch.device, sizes: Sizes) -> dict[str, float]:
    """FLOP/s of a large bf16 product and bytes/s (read and written) of a large copy."""
    product = product_ceiling(device, torch.bfloat16, sizes.ceiling, sizes.repeats)
    return {"bf16_flops": product, "copy_bytes": copy_ceiling(device, sizes.ceiling**2, sizes.repeats)}


def network_flops(sizes: Sizes) -> tuple[int, int]:
    """(forward, forward and backward) of all points: a product each for outputs, weights' gradients, activations' gradients."""
    first, *others = (i * o for i, o in pairwise(_shape(sizes)))
    points = 2 * sizes.scenes * sizes.points
    return points * (first + sum(others)), points * (2 * first + 3 * sum(others))


def _shape(sizes: Sizes) -> tuple[int, ...]:
    return (4 + 6 * sizes.octaves, *[sizes.width] * sizes.depth, OUTPUTS)


def network_seconds(backend: str, device: torch.device, sizes: Sizes) -> dict[str, float]:
    """Forward, and forward and backward into the weights. `bmm` is a chain of bf16 products, a chunk of points at a time."""
    generator = torch.Generator(device).manual_seed(0)
    weights = [torch.randn(sizes.scenes, o, i, device=device, generator=generator) / i**0.5 for i, o in pairwise(_shape(sizes))]
    positions = torch.rand(sizes.scenes, sizes.points, 3, device=device, generator=generator) * 2 - 1
    gradient = torch.randn(sizes.scenes, sizes.points, OUTPUTS, device=device, generator=generator)

    def network(parameters: Sequence[Tensor]) -> Tensor:
        if backend == "bmm":
            return bmm_chain(positions, sizes, parameters)
        return encoded_mlp(positions, sizes.octaves, None, None, parameters, backend)

    def both() -> None:
        leaves = [w.clone().requires_grad_() for w in weights]
        torch.autograd.grad(network(leaves), leaves, gradient)

    with torch.no_grad():
        forward = median_seconds(lambda: network(weights), device, sizes.repeats)
    return {"forward": forward, "both": median_seconds(both, device, sizes.repeats)}


def bmm_chain(positions: Tensor, sizes: Sizes, weights: Sequence[Tensor]) -> Tensor:
    halves, outputs = [w.bfloat16().transpose(1, 2) for w in weights], []
    for part in positions.split(sizes.chunk, dim=1):
        hidden = frequency_encoding(part, sizes.octaves).bfloat16()
        for matrix in halves[:-1]:
            hidden = torch.bmm(hidden, matrix).relu_()
        outputs.append(torch.bmm(hidden, halves[-1]).float())
    return torch.cat(outputs, dim=1)


def render_seconds(device: torch.device, sizes: Sizes) -> float:
    """As many samples as `network_seconds` has points, of one scene: nothing is empty and no ray stops early."""
    from hypernerf.ops._triton_render import render

    weights = [torch.randn(1, o, i, device=device) / i**0.5 for i, o in pairwise(_shape(sizes))]
    rays = sizes.scenes * sizes.points // sizes.samples
    origins = torch.tensor([0.0, 0, -2], device=device).expand(rays, 3)
    directions = torch.tensor([0.0, 0, 1], device=device).expand(rays, 3)
    near, far = torch.ones(rays, device=device), torch.full((rays,), 3.0, device=device)
    cells = torch.ones(64, 64, 64, device=device, dtype=torch.bool)

    def draw() -> Tensor:
        return render(
            origins, directions, near, far, cells, sizes.octaves, None, None, weights, sizes.samples, (3.0, 10.0), darkest=-1.0
        )

    return median_seconds(draw, device, sizes.repeats)


def step_seconds(backend: str, device: torch.device, sizes: Sizes, config: GeneratorConfig) -> float:
    """One training step (encode, generate, render, backward, Adam) on made-up data, which the time does not depend on."""
    torch.manual_seed(0)
    model = Generator(config).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    size, scenes = config.encoder.image.image_size, sizes.scenes
    pose = torch.eye(4, device=device).expand(scenes, 2, 4, 4).clone()
    pose[..., 2, 3] = -2.6
    intrinsics = torch.tensor([1.2 * size, 1.2 * size, size / 2, size / 2], device=device).expand(scenes, 2, 4)
    images = torch.rand(scenes, 2, size, size, 3, device=device)
    context = ContextViews(images, Cameras(pose, intrinsics, size, size), torch.ones(scenes, 3, device=device))
    directions = torch.nn.functional.normalize(
        torch.randn(scenes, sizes.rays, 3, device=device) * 0.1 + torch.tensor([0.0, 0, 1], device=device), dim=-1
    )
    rays = RayBundle(pose[:, :1, :3, 3].expand_as(directions), directions)
    jitter = torch.rand(scenes, sizes.rays, sizes.samples, device=device)

    def step() -> None:
        seen = render_rays(model(context), rays, context.background, sizes.samples, jitter=jitter, backend=backend)
        optimizer.zero_grad(set_to_none=True)
        seen.color.square().mean().backward()
        optimizer.step()

    return median_seconds(step, device, max(1, sizes.repeats // 2))
