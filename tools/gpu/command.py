"""gpu_check: build tiny-cuda-nn, check every backend against the reference, time them, and compare with what is wanted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hypernerf.cli.common import Parser, console, parse_config, write_json
from hypernerf.config import apply_overrides, load_yaml
from hypernerf.models import GeneratorConfig
from hypernerf.ops import pick_backend
from hypernerf.types import InputError

from .timing import Sizes, ceilings, network_flops, network_seconds, render_seconds, step_seconds

ROOT = Path(__file__).parents[2]
EXAMPLE = """  git clone --recursive https://github.com/NVlabs/tiny-cuda-nn ../tiny-cuda-nn
  python tools/gpu_check.py --tinycudann ../tiny-cuda-nn --json out/gpu.json"""
TESTS = tuple(f"tests/hypernerf/test_{name}.py" for name in ("triton", "triton_render", "cuda_backends"))
# name -> the least that is wanted
WANTED = {
    "forward, share of the bf16 ceiling": 0.40,
    "forward and backward, share of the bf16 ceiling": 0.25,
    "forward and backward, times faster than a loop of tinycudann calls": 2.0,
    "forward and backward, times faster than a chain of bf16 products": 3.0,
    "training step, times faster than with the torch reference": 5.0,
    "rendering kernel, share of the network kernel's samples a second": 0.70,
}


def main(arguments: Sequence[str]) -> int:
    parser = Parser("Build, check and time every backend on this machine's GPU.", EXAMPLE)
    parser.add_argument("--tinycudann", type=Path, metavar="CLONE", help="clone of tiny-cuda-nn to build, if it is not installed")
    parser.add_argument("--build", type=Path, default=Path("out/gpu_packages"), help="where the build is installed")
    parser.add_json()
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        raise InputError("torch sees no GPU: nothing to build, check or time here (docs/gpu.md)")
    device = torch.device("cuda")
    report: dict[str, Any] = {
        "machine": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    if options.tinycudann:
        report["build"] = build(options.tinycudann, options.build)
    report["tests"] = check()
    report |= measure(device, Sizes(), training_model())
    for name, figure in report["ratios"].items():
        value = "not measured" if figure["value"] is None else f"{figure['value']:.2f}"
        console.print(f"{name}: {value} (wanted: {figure['wanted']})")
    write_json(options.json, report)
    return 0 if report["tests"]["passed"] else 1


def build(clone: Path, target: Path) -> dict[str, Any]:
    """Installs tiny-cuda-nn's bindings from its source into `target`, which this process then imports from."""
    source = clone / "bindings" / "torch"
    if not source.is_dir():
        raise InputError(f"{clone}: no clone of tiny-cuda-nn (no bindings/torch in it)")
    command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--target", str(target), str(source)]
    with console.status("building tiny-cuda-nn (some minutes)"):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    sys.path.append(str(target.resolve()))
    return {"built": done.returncode == 0, "seconds": time.perf_counter() - start, "end": done.stderr[-2000:]}


def check() -> dict[str, Any]:
    """The backends' tests, on the GPU."""
    code = f"import sys; sys.path += {sys.path!r}; import pytest; sys.exit(pytest.main({['-q', '-rs', *TESTS]!r}))"
    with console.status("checking against the reference"):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    console.print(lines[-1] if lines else done.stderr[-500:])
    return {"passed": done.returncode == 0, "end": lines[-30:]}


def training_model() -> GeneratorConfig:
    _, experiment = parse_config(apply_overrides(load_yaml(ROOT / "configs/gpu_procedural.yaml"), []), "gpu_procedural.yaml")
    return experiment.generator


def measure(device: torch.device, sizes: Sizes, model: GeneratorConfig) -> dict[str, Any]:
    """Seconds of every backend that can run, the ceilings, and the wanted ratios. What fails is reported and passed by."""
    top, seconds, failed = ceilings(device, sizes), {}, {}
    for backend in ("torch", "bmm", "tinycudann", "triton"):
        try:
            if backend != "bmm":
                pick_backend(backend, device)
            with console.status(f"timing {backend}"):
                seconds[backend] = network_seconds(backend, device, sizes)
                if backend != "bmm":
                    seconds[backend]["step"] = step_seconds(backend, device, sizes, model)
                if backend == "triton":
                    seconds[backend]["render"] = render_seconds(device, sizes)
        except (InputError, RuntimeError) as error:  # a missing library, or no memory: the others are timed all the same
            failed[backend] = str(error)
            console.print(f"{backend}: {error}")
    values = ratios(seconds, top["bf16_flops"], sizes)
    compared = {name: {"value": values.get(name), "wanted": least} for name, least in WANTED.items()}
    return {"ceilings": top, "seconds": seconds, "failed": failed, "ratios": compared}


def ratios(seconds: dict[str, dict[str, float]], ceiling: float, sizes: Sizes) -> dict[str, float]:
    """The wanted ratios for which there are times."""
    ours = seconds.get("triton")
    if ours is None:
        return {}
    forward, both = network_flops(sizes)
    share, share_both, loop, chain, step, rendering = WANTED
    result = {share: forward / ours["forward"] / ceiling, share_both: both / ours["both"] / ceiling}
    for name, other, part in ((loop, "tinycudann", "both"), (chain, "bmm", "both"), (step, "torch", "step")):
        if other in seconds and part in ours:
            result[name] = seconds[other][part] / ours[part]
    if "render" in ours:
        result[rendering] = ours["forward"] / ours["render"]
    return result
