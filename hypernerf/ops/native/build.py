"""The machine's own C compiler turns the kernels beside this file into a library, once a machine and version of them.

Compiled here rather than shipped: the kernels are small (seconds to compile), and only the machine knows its instruction set.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import torch

HERE = Path(__file__).parent
FLAGS = ["-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-fopenmp"]


class BuildError(Exception):
    """Why there is no library: one line."""


@lru_cache
def library() -> ctypes.CDLL:
    """The compiled kernels. Raises `BuildError` where there is no compiler, or it fails."""
    compiler = _compiler()
    place = _folder() / f"kernels-{_fingerprint(compiler)}.so"
    if not place.is_file():
        _compile(compiler, place)
    try:
        return ctypes.CDLL(str(place))
    except OSError as error:  # damaged, on a disk that must not be run from, or linked to what is not there
        raise BuildError(f"{place} cannot be loaded ({error}): remove it, or set HYPERNERF_CACHE or CC=gcc") from None


def run(function: str, call: ctypes.Structure) -> None:
    """Calls one of the kernels, which all take a structure and say whether memory was short. Raises `MemoryError` if it was."""
    if getattr(library(), function)(ctypes.byref(call)):
        raise MemoryError("the cpu backend found no memory for its blocks")


def _compiler() -> list[str]:
    """Its command: CC, which may have arguments (`ccache gcc`), or the first of the usual ones."""
    told = shlex.split(os.environ.get("CC", "")) or list(filter(shutil.which, ("gcc", "cc", "clang")))[:1]
    if not told or not shutil.which(told[0]):
        raise BuildError(f"no C compiler ({told[0] if told else 'gcc, cc or clang'}) on this machine: install gcc")
    return told


def _folder() -> Path:
    root = os.environ.get("HYPERNERF_CACHE") or Path.home() / ".cache" / "hypernerf"
    return Path(root) / "native"


def _fingerprint(compiler: list[str]) -> str:
    """Of all that the library depends on: sources, flags, compiler, processor, and torch's threads."""
    found = hashlib.sha256()
    for path in sorted([*HERE.glob("*.c"), *HERE.glob("*.h")]):
        found.update(path.read_bytes())
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout
    cpu = Path("/proc/cpuinfo")
    told = cpu.read_text().splitlines() if cpu.is_file() else []
    flags = "\n".join(sorted({line for line in told if line.startswith(("flags", "Features", "CPU part"))}))
    found.update(
        "\n".join([*FLAGS, *compiler[1:], version, platform.machine(), platform.processor(), flags, *_threads()]).encode()
    )
    return found.hexdigest()[:16]


def _threads() -> list[str]:
    """Torch's own OpenMP library: with another, each would keep threads of its own, and they would fight for the cores."""
    own = sorted(Path(torch.__file__).parent.glob("lib/libgomp*.so*"))
    return [str(own[0])] if own else ["-fopenmp"]


def _compile(compiler: list[str], place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            compiled, linked = [], Path(folder) / "kernels.so"
            for source in sorted(HERE.glob("*.c")):
                compiled.append(str(Path(folder) / f"{source.stem}.o"))
                _run([*compiler, *FLAGS, "-c", str(source), "-o", compiled[-1]])
            _run([*compiler, "-shared", "-o", str(linked), *compiled, *_threads()])
            os.replace(linked, place)
    except OSError as error:
        raise BuildError(
            f"{place.parent} cannot be written ({error.strerror}): set HYPERNERF_CACHE to a folder that can"
        ) from None


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200].strip())
        raise BuildError(f"{command[0]} failed: {reason}")
