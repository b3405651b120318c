"""Which code runs an operation: a backend asked for by name, or the fastest one that can."""

from __future__ import annotations

import importlib
import logging
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from ..types import InputError

# Fastest first. Each module has `missing(device)`: why it cannot run there (with the mend), or None.
BACKENDS = {"triton": "._triton", "tinycudann": "._tinycudann", "cpu_bf16": "._cpu_bf16", "cpu": "._cpu", "torch": "._torch"}
BY_NAME = {"triton", "tinycudann", "cpu_bf16"}  # not yet run on a GPU, or of rounded gradients: `auto` does not choose them
_log = logging.getLogger("hypernerf")


def pick_backend(name: str, device: torch.device) -> ModuleType:
    """The module of a backend. `auto` is the fastest one there is for the device.

    Raises:
        InputError: an unknown backend, or one that cannot run here.
    """
    if name == "auto":
        return _fastest(device.type)
    if name not in BACKENDS:
        raise InputError(f"unknown backend {name!r}: choose one of auto, {', '.join(BACKENDS)}")
    reason = _missing(name, device.type)
    if reason:
        raise InputError(f"backend {name!r}: {reason}, or choose auto or torch")
    return _module(name)


def is_compiled(name: str, device: torch.device) -> bool:
    """Whether a backend's code is the compiled C of ops/native. Raises as `pick_backend` does."""
    return pick_backend(name, device).__name__.endswith(("._cpu", "._cpu_bf16"))


def fits_kernels(*tensors: Tensor | None) -> bool:
    """Whether the compiled C can read these: float32, on the CPU. What else there is, the reference takes, or refuses."""
    return all(t is None or (t.dtype == torch.float32 and t.device.type == "cpu") for t in tensors)


def _module(name: str) -> ModuleType:
    return importlib.import_module(BACKENDS[name], __package__)


@lru_cache
def _missing(name: str, device: str) -> str | None:
    return _module(name).missing(torch.device(device))


@lru_cache
def _fastest(device: str) -> ModuleType:
    """Says once what it chose, and what is slower for want of something."""
    for name in (name for name in BACKENDS if name not in BY_NAME):
        reason = _missing(name, device)
        if reason is None:
            _log.info("fields on %s run on backend %s", device, name)
            return _module(name)
        if name == device:
            _log.warning("fields run on torch alone, at half the speed: %s", reason)
    raise AssertionError("torch runs everywhere")
