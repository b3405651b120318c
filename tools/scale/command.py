"""scale_check: the constants of docs/scale.md for a configuration, a measured step, and the table that follows from them."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.flop_counter import FlopCounterMode

from hypernerf.cli.common import Parser, console, parse_config, write_json
from hypernerf.config import apply_overrides, load_yaml
from hypernerf.geometry import orbit_cameras
from hypernerf.training import Experiment, StoredScene, Trainer
from hypernerf.training.distributed import Alone, joined

from .cost import Cluster, Work, ring_bytes, step

RANKS = (1, 2, 8, 16, 64, 128, 256, 512, 1000)
EXAMPLE = """  python tools/scale_check.py configs/quickstart.yaml --steps 8
  torchrun --nproc-per-node 2 tools/scale_check.py configs/quickstart.yaml --steps 8
  python tools/scale_check.py configs/gpu_procedural.yaml --steps 0 --tflops 20 --gigabytes 40 --dollars 2.5 --per-rank 64"""


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        "Count a configuration's parameters, operations and bytes; time its training steps on images of noise, under torchrun "
        "with several processes; reckon what a step takes and costs with up to 1,000. Any key of the configuration can be set.",
        EXAMPLE,
    )
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; see configs/")
    parser.add_argument("--steps", type=int, default=8, metavar="N", help="steps to time; 0: none, count alone (default: 8)")
    parser.add_argument("--tflops", type=float, default=20.0, help="sustained by a rank, in 10^12 a second (default: 20)")
    parser.add_argument("--memory", type=float, default=2500.0, help="of a rank, in gigabytes a second (default: 2500)")
    parser.add_argument("--gigabytes", type=float, default=40.0, help="a second that a rank sends (default: 40)")
    parser.add_argument("--latency", type=float, default=10.0, help="of a message, in microseconds (default: 10)")
    parser.add_argument("--dollars", type=float, default=2.5, help="a rank and hour (default: 2.5)")
    parser.add_argument("--per-rank", type=int, metavar="N", help="scenes a rank and step (default: train.batch.scenes)")
    parser.add_json()
    options, overrides = parser.parse_known_args(arguments)
    source, experiment = parse_config(apply_overrides(load_yaml(options.config), overrides), options.config)
    with joined() as team:
        console.quiet = not team.writes
        scenes = noise_scenes(
            experiment, getattr(source, "size", experiment.encoder.image.image_size), getattr(source, "views", 24)
        )
        report: dict[str, Any] = {"ranks": team.count, **constants(experiment, scenes)} if team.writes else {}
        if options.steps:
            report |= timed(experiment, scenes, team, options.steps)
    if not team.writes:
        return 0
    per_rank = options.per_rank or experiment.train.batch.scenes
    work = Work(report["parameters"], report["flops_per_scene"], per_rank)
    speeds = (options.tflops * 1e12, options.memory * 1e9, options.gigabytes * 1e9)
    cluster = Cluster(*speeds, options.latency * 1e-6, options.dollars)
    report["reckoned"] = {ranks: asdict(step(work, cluster, ranks)) for ranks in RANKS}
    for name, value in report.items():
        if name != "reckoned":
            console.print(f"{name} {value:.6g}")
    console.print("ranks  compute ms  update ms  reduce ms  exposed ms  agree ms  scenes/s  $ per 10^9 scenes")
    for ranks in RANKS:
        s = step(work, cluster, ranks)
        times = "  ".join(f"{1e3 * value:9.3f}" for value in (s.compute, s.update, s.reduce, s.exposed, s.agreements))
        console.print(f"{ranks:5}  {times}  {s.scenes_per_second:9.0f}  {s.dollars_per_billion_scenes:9.0f}")
    write_json(options.json, report)
    return 0


def noise_scenes(experiment: Experiment, size: int, views: int) -> list[StoredScene]:
    """As many scenes as a batch has, of random pixels under a disk as mask: what they show does not change what a step costs."""
    generator = torch.Generator().manual_seed(0)
    cameras = orbit_cameras(
        views, distance=2.6, elevation_degrees=20, size=(size, size), field_of_view_degrees=45, up=torch.tensor([0.0, 0.0, 1.0])
    )
    axis = torch.linspace(-1, 1, size)
    mask = ((axis[:, None] ** 2 + axis**2) < 0.5).to(torch.uint8).mul(255).expand(views, size, size).contiguous()
    images = torch.randint(0, 256, (views, size, size, 3), generator=generator, dtype=torch.uint8)
    return [StoredScene(f"noise-{i}", images, mask, cameras, torch.ones(3)) for i in range(experiment.train.batch.scenes)]


def _changed(experiment: Experiment, **train: Any) -> Experiment:
    return dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, **train))


def constants(experiment: Experiment, scenes: list[StoredScene]) -> dict[str, float]:
    """Counted on one scene with the most context views, on the CPU, by the torch reference."""
    batch = experiment.train.batch
    most = dataclasses.replace(batch, scenes=1, context=(batch.context[1],) * 2)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(_changed(experiment, batch=most, device="cpu", backend="torch"), scenes[:1], Path(folder))
    drawn = trainer._draw()
    trainer.step = 1  # a step that does not look at what is empty
    with FlopCounterMode(display=False) as counter:
        trainer._forward(drawn).losses["total"].backward()
    parts = [drawn.context.images, drawn.target_rays.origins, drawn.target_rays.directions, drawn.target_colors]
    parts += [part for part in (drawn.target_masks, drawn.hull_points, drawn.hull_inside) if part is not None]
    parameters = sum(value.numel() for value in trainer.model.parameters())
    stored = sum(part.nbytes for part in (scenes[0].images, scenes[0].masks) if part is not None) + 64**3 // 8
    return {
        "parameters": parameters,
        "flops_per_scene": counter.get_total_flops(),
        "batch_bytes_per_scene": sum(part.nbytes for part in parts) + 4 * batch.rays * experiment.train.samples,
        "memory_bytes_per_scene": stored,
        "checkpoint_bytes": 4 * 4 * parameters,  # weights, their average, two moments
        "ring_bytes_per_step_of_2": ring_bytes(2, 4 * parameters),
    }


def timed(experiment: Experiment, scenes: list[StoredScene], team: Alone, steps: int) -> dict[str, float]:
    """Seconds of whole steps with the most context views: the least is what a machine with other work would take without it."""
    batch = experiment.train.batch
    experiment = _changed(experiment, batch=dataclasses.replace(batch, context=(batch.context[1],) * 2))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(experiment, scenes, Path(folder), team=team)
        if team.count > 1:
            trainer._rehearse()
        seconds, busy = [], []
        for _ in range(steps + 1):
            start = time.process_time()
            before = trainer.minutes
            trainer._timed_step()
            seconds.append(60 * (trainer.minutes - before))
            busy.append(time.process_time() - start)
    result = {"step_least_s": min(seconds[1:]), "step_median_s": statistics.median(seconds[1:])}
    result |= {"step_least_busy_s": min(busy[1:]), "step_median_busy_s": statistics.median(busy[1:])}
    result |= _least("update", trainer._descend, trainer.device)
    if team.count > 1:
        gradients = torch.zeros(sum(value.numel() for value in trainer.model.parameters()), device=trainer.device)
        result |= _least("reduce", lambda: dist.all_reduce(gradients), trainer.device)
        result |= _least("agree", lambda: team.agree(0.0), trainer.device)
    return result


def _least(name: str, work: Callable[[], object], device: torch.device, repeats: int = 20) -> dict[str, float]:
    """Seconds by the clock, and of this process's own work."""
    taken = []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append((time.perf_counter() - start, time.process_time() - busy))
    clock, own = zip(*taken, strict=True)
    return {f"{name}_least_s": min(clock), f"{name}_least_busy_s": min(own)}
