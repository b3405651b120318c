"""Compiles every kernel for an H100, which needs none: what the interpreter runs need not be what the compiler takes."""

from __future__ import annotations

from collections import defaultdict

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from hypernerf.ops._triton import BACKWARD_TILE, FORWARD_TILE, _constants
from hypernerf.ops.kernels.mlp_backward import mlp_backward
from hypernerf.ops.kernels.mlp_forward import mlp_forward
from hypernerf.ops.kernels.render import render
from hypernerf.ops.packing import Layout

FLOATS = ("positions", "given", "outputs", "gradients", "given_gradients", "partial", "origins", "directions", "near", "far")
TYPES = dict.fromkeys(("shift", "scale", "darkest"), "fp32") | dict.fromkeys((*FLOATS, "planes", "volume", "pixels"), "*fp32")
TYPES |= {"packed": "*bf16", "counts": "*i32", "cells": "*u8"}


def compile_kernel(kernel, constants: dict) -> str:
    """The assembly for compute capability 9.0."""
    warps = constants.pop("num_warps")
    known = {name: constants[name] for name in kernel.arg_names if name in constants}
    types = defaultdict(lambda: "i32", TYPES)
    signature = {name: "constexpr" if name in known else types[name] for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=known)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps}).asm["ptx"]


if __name__ == "__main__":
    layout, gpu = Layout(encoded=10, given=5, width=16, depth=2, outputs=4), torch.device("cuda")
    grids = {"SAMPLES": 8, "GRID": 8, "PLANE": 4, "PLANE_CHANNELS": 1, "VOLUME": 4, "VOLUME_CHANNELS": 2}
    for kernel, tile, extra in (
        (mlp_forward, FORWARD_TILE, {}), (mlp_backward, BACKWARD_TILE, {"LOW": 0, "HIGH": 3}), (render, FORWARD_TILE, grids)
    ):  # fmt: skip
        assert "mma" in compile_kernel(kernel, _constants(layout, 1, gpu, tile) | extra)
