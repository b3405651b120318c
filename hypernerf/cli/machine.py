"""What kind of machine a figure comes from: one line to stand beside it."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def machine(device: torch.device) -> str:
    """The GPU's name, or the processor's and how many threads torch works with."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    threads = torch.get_num_threads()
    return f"{next(names, platform.processor() or platform.machine())}, {threads} thread{'s' * (threads > 1)}"
