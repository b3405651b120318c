"""Imports run one way; importing the library has no side effect and needs no extra."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEVELS = {
    "types": 0, "srgb": 0, "files": 1, "memory": 1, "pages": 1, "geometry": 1, "interrupts": 1, "reading": 1,
    "config": 2, "ops": 2, "tensor_files": 2, "fields": 3,
    "rendering": 4, "models": 5, "training": 6, "export": 6, "viewer": 7, "cli": 8, "__main__": 9,
}  # fmt: skip
FILES = sorted((ROOT / "hypernerf").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Absolute dotted names of all modules a file imports."""
    package = list(path.relative_to(ROOT).parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            names.add(".".join([*start, *(node.module or "").split(".")]).rstrip("."))
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_below_it(path):
    part = path.relative_to(ROOT / "hypernerf").parts[0].removesuffix(".py")
    if part == "__init__":
        return
    for name in imported(path):
        if name.startswith("scenes"):
            assert part == "cli", f"{path} imports {name}"
        if name.startswith("hypernerf."):
            other = name.split(".")[1]
            assert other == part or LEVELS[other] < LEVELS[part], f"{path} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "scenes").glob("*.py")), ids=lambda p: p.name)
def test_scenes_import_only_types_srgb_reading_and_geometry(path):
    for name in imported(path):
        if name.startswith("hypernerf"):
            assert name.split(".")[1] in ("types", "srgb", "reading", "geometry"), f"{path} imports {name}"


def test_importing_the_library_loads_no_extra():
    extras = (
        "('lpips', 'viser', 'nerfacc', 'tinycudann', 'xatlas', 'fast_simplification', 'onnx', 'onnxruntime', 'huggingface_hub')"
    )
    code = f"import sys, hypernerf.training, hypernerf.export; print([m for m in {extras} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
