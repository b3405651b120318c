"""benchmark: how long each part takes on this machine, every backend beside the reference, as ratios of one run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from ..memory import keep_freed_memory
from ..ops import BACKENDS, batched_mlp, encoded_mlp, pick_backend
from ..training.distributed import pick_device
from ..types import InputError
from .benchmark_run import image_rows, latency_rows, step_rows
from .common import Parser, console, tracked, write_json
from .machine import machine
from .timing import Timing, copy_ceiling, medians, peak_memory, product_ceiling

EXAMPLE = """  python tools/benchmark.py
  python tools/benchmark.py --run runs/quickstart --json benchmark.json"""


@dataclass(frozen=True)
class Shape:
    """B networks of `sizes`, each at `points` points."""

    scenes: int
    points: int
    sizes: tuple[int, ...]

    @property
    def flops(self) -> int:
        """Of the forward pass."""
        return 2 * self.scenes * self.points * sum(i * o for i, o in itertools.pairwise(self.sizes))

    @property
    def training_flops(self) -> int:
        """With the gradients of weights and hidden values, but not of the inputs."""
        return 3 * self.flops - 2 * self.scenes * self.points * self.sizes[0] * self.sizes[1]


STANDARD = Shape(32, 2304, (63, 64, 64, 64, 4))


def main(arguments: Sequence[str]) -> int:
    parser = Parser("Time every part on this machine. Ratios are of one run, rivals taking turns.", EXAMPLE)
    parser.add_argument("--device", default="auto", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--run", metavar="RUN", help="a trained run: also time images, meshes and reconstruction")
    parser.add_argument("--config", default="configs/quickstart.yaml", help="whose training step is timed (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=9, help="of each measurement; the median counts (default %(default)s)")
    parser.add_json()
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        raise InputError(f"--repeats must be at least 1, not {options.repeats}")
    keep_freed_memory()
    device = pick_device(options.device)
    ceilings = {
        "float32 FLOP/s": product_ceiling(device, torch.float32),
        "bfloat16 FLOP/s": product_ceiling(device, torch.bfloat16),
        "copied bytes/s": copy_ceiling(device),
    }
    parts: list[Callable[[], list[Timing]]] = [
        lambda: network_rows(device, options.repeats, ceilings["float32 FLOP/s"]),
        lambda: field_rows(device, options.repeats),
        lambda: scaling_rows(device, options.repeats),
        lambda: step_rows(Path(options.config), options.device, options.repeats),
    ]
    if options.run:
        parts.append(lambda: image_rows(options.run, options.repeats))
        parts.append(lambda: latency_rows(options.run, options.repeats))
    rows = [row for part in tracked(parts, "benchmark") for row in part()]
    _show(rows, ceilings, device)
    facts = {"machine": machine(device), "ceilings": ceilings, "peak_bytes": peak_memory(device)}
    write_json(options.json, {**facts, "rows": [asdict(row) for row in rows]})
    return 0


def usable_backends(device: torch.device) -> list[str]:
    found = []
    for name in BACKENDS:
        try:
            pick_backend(name, device)
        except InputError:
            continue
        found.append(name)
    return sorted(found, key=lambda name: name != "torch")


def bfloat16_chain(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """What one writes first for speed: the reference in bfloat16."""
    hidden = inputs
    for matrix in weights[:-1]:
        hidden = torch.relu_(torch.bmm(hidden, matrix.transpose(1, 2)))
    return torch.bmm(hidden, weights[-1].transpose(1, 2))


def network_rows(device: torch.device, repeats: int, ceiling: float, shape: Shape = STANDARD) -> list[Timing]:
    """The batched network alone, forward and with gradients into the weights."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(shape.scenes, shape.points, shape.sizes[0], generator=generator).to(device)
    weights = [
        (torch.randn(shape.scenes, o, i, generator=generator) * (2 / i) ** 0.5).to(device).requires_grad_()
        for i, o in itertools.pairwise(shape.sizes)
    ]
    outwards = torch.randn(shape.scenes, shape.points, shape.sizes[-1], generator=generator).to(device)
    half = [inputs.bfloat16(), *(w.detach().bfloat16().requires_grad_() for w in weights)]

    def passes(name: str) -> tuple[Callable[[], Tensor], Sequence[Tensor], Tensor]:
        if name == "torch, bfloat16":
            return (lambda: bfloat16_chain(half[0], half[1:])), half[1:], outwards.bfloat16()
        return (lambda: batched_mlp(inputs, weights, name)), weights, outwards

    def forward(name: str) -> None:
        with torch.no_grad():
            passes(name)[0]()

    def both(name: str) -> list[Tensor]:
        function, to, gradient = passes(name)
        return list(torch.autograd.grad(function(), to, gradient))

    names = usable_backends(device)
    if device.type == "cuda" or "cpu_bf16" in names:  # elsewhere torch multiplies number by number, for minutes
        names.append("torch, bfloat16")
    exact = [w.detach().double().requires_grad_() for w in weights]
    right = torch.autograd.grad(batched_mlp(inputs.double(), exact, "torch"), exact, outwards.double())
    errors = {n: max(relative_error(g, r) for g, r in zip(both(n), right, strict=True)) for n in names}
    rows = []
    for what, work, flops in (("forward", forward, shape.flops), ("forward and backward", both, shape.training_flops)):
        seconds = medians({n: partial(work, n) for n in names}, device, repeats)
        for name in names:
            share = flops / seconds[name] / ceiling
            error = errors[name] if work is both else None
            sizes = "-".join(map(str, shape.sizes))
            label = f"network {sizes}, {shape.scenes} scenes x {shape.points}: {what}"
            rows.append(Timing(label, name, 1e3 * seconds[name], seconds["torch"] / seconds[name], share, error))
    return rows


def relative_error(found: Tensor, right: Tensor) -> float:
    return float((found.double() - right).norm() / right.norm())


def field_rows(device: torch.device, repeats: int) -> list[Timing]:
    """The quickstart's field: frequencies, planes and volume read, the network, and gradients into all of them."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(12, 3, 4, 32, 32), (12, 1, 4, 12, 12, 12), (12, 64, 44), (12, 64, 64), (12, 4, 64)]
    tensors = [torch.randn(s, generator=generator).mul_(0.1).to(device).requires_grad_() for s in shapes]
    positions = (torch.rand(12, 4096, 3, generator=generator) * 2 - 1).to(device)

    def both(name: str) -> None:
        output = encoded_mlp(positions, 4, tensors[0], tensors[1], tensors[2:], name)
        torch.autograd.grad(output.square().sum(), tensors)

    names = usable_backends(device)
    seconds = medians({n: partial(both, n) for n in names}, device, repeats)
    label = "field of the quickstart, 12 scenes x 4096: forward and backward"
    return [Timing(label, n, 1e3 * seconds[n], seconds["torch"] / seconds[n]) for n in names]


def scaling_rows(device: torch.device, repeats: int) -> list[Timing]:
    """Twice the scenes or points should take twice the time; `ratio` is against half as many (or half the width)."""
    rows = []
    by_scenes = [Shape(n, 2048, STANDARD.sizes) for n in (1, 2, 4, 8, 16, 32, 64)]
    by_points = [Shape(4, 1 << n, STANDARD.sizes) for n in range(10, 19)]
    by_width = [Shape(16, 2048, (63, w, w, w, 4)) for w in (32, 64, 128)]
    for name, shapes in (("scenes", by_scenes), ("points", by_points), ("width", by_width)):
        before = None
        for shape in shapes:
            weights = [
                torch.randn(shape.scenes, o, i, device=device).requires_grad_() for i, o in itertools.pairwise(shape.sizes)
            ]
            inputs = torch.randn(shape.scenes, shape.points, shape.sizes[0], device=device)

            def both(inputs: Tensor = inputs, weights: list[Tensor] = weights) -> None:
                torch.autograd.grad(batched_mlp(inputs, weights).sum(), weights)

            seconds = medians({"auto": both}, device, repeats)["auto"]
            label = f"{name}: {shape.scenes} scenes x {shape.points} points, width {shape.sizes[1]}"
            rows.append(Timing(label, "auto", 1e3 * seconds, None if before is None else seconds / before))
            before = seconds
    return rows


def _show(rows: Sequence[Timing], ceilings: dict[str, float], device: torch.device) -> None:
    table = Table("what", "backend", "ms", "x", "", title=machine(device))
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.what, row.backend, f"{row.milliseconds:.2f}", ratio, _remarks(row))
    console.print(table)
    console.print(", ".join(f"{value / 1e9:.1f} G {name}" for name, value in ceilings.items()))
    console.print(f"most memory held: {peak_memory(device) / 2**20:.0f} MB")


def _remarks(row: Timing) -> str:
    """What is known of few rows: columns of their own would leave the others no room on a narrow terminal."""
    known = {
        "of ceiling": row.share is not None and f"{row.share:.0%}",
        "error": row.error is not None and f"{row.error:.0e}",
        "dB": row.psnr is not None and f"{row.psnr:.1f}",
        "of the points": row.samples is not None and f"{row.samples:.1%}",
    }
    return ", ".join(f"{value} {name}" for name, value in known.items() if value)
