"""A scene's field as an ONNX graph: positions in, density and color out, its weights inside."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray as Array

from ..fields import DENSITY_SCALE, DENSITY_SHIFT, FieldSpec, SceneField, radiance_field
from ..files import write_atomically
from ..types import InputError

OPSET = 20  # the first whose GridSample reads volumes
INSTALL = "pip install 'hypernerf[onnx]'"


class _Graph:
    """Nodes and constants in the order they are asked for; values are known by their names."""

    def __init__(self, helper: Any, numpy_helper: Any) -> None:
        self._helper, self._numpy_helper = helper, numpy_helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Array | np.floating) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(self._numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operation: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(operation, inputs, [output], **attributes))
        return output


def save_onnx(path: Path | str, scene: SceneField) -> None:
    """Writes FILE.onnx: `positions` [point, 3] in scene-sphere coordinates (and unit `directions`, if the field reads them)
    to `density` [point] and `color` [point, 3]. Its metadata `hypernerf` holds the transform, background and up axis as JSON.

    Raises:
        InputError: onnx is not installed, or a place that cannot be written to.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise InputError(f"{path}: needs onnx: {INSTALL}") from None
    spec = scene.weights.spec
    graph = _Graph(helper, numpy_helper)
    _field(graph, spec, {name: value[0].cpu().numpy() for name, value in scene.weights.tensors.items()})
    vectors = ["positions", "directions"] if spec.direction_frequencies else ["positions"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["point", 3]) for name in vectors]
    shapes: dict[str, list[Any]] = {"density": ["point"], "color": ["point", 3]}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    body = helper.make_graph(graph.nodes, "field", inputs, outputs, graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="hypernerf")
    facts = {"transform": asdict(scene.transform), "background": scene.background, "up": scene.up, "name": scene.name}
    helper.set_model_props(model, {"hypernerf": json.dumps(facts)})
    checker.check_model(model, full_check=True)
    write_atomically(path, lambda place: place.write_bytes(model.SerializeToString()))


def _field(graph: _Graph, spec: FieldSpec, tensors: dict[str, Array]) -> None:
    """`fields.radiance_field`, step by step."""
    parts = _frequencies(graph, "positions", spec.position_frequencies)
    if spec.plane_resolution:
        pairs = ([0, 1], [0, 2], [1, 2])
        parts += [_sampled(graph, plane[None], pair) for plane, pair in zip(tensors["planes"], pairs, strict=True)]
    if spec.volume_resolution:
        parts.append(_sampled(graph, tensors["volume"], [0, 1, 2]))
    features = graph.add("Concat", *parts, axis=1)
    trunk = [tensors[name] for name in spec.layer_names]
    # the constant feature's column is the first layer's bias
    hidden = _layer(graph, features, trunk[0], constant=3 + 6 * spec.position_frequencies)
    for matrix in trunk[1:-1]:
        hidden = _layer(graph, graph.add("Relu", hidden), matrix)
    hidden = graph.add("Relu", hidden)
    output = _layer(graph, hidden, trunk[-1])
    if spec.direction_frequencies:
        towards = graph.add("Concat", hidden, *_frequencies(graph, "directions", spec.direction_frequencies), axis=1)
        color = graph.add("Relu", _layer(graph, towards, tensors["color_0"], constant=tensors["color_0"].shape[1] - 1))
        output = graph.add("Concat", output, _layer(graph, color, tensors["color_1"]), axis=1)
    if spec.volume_resolution:
        coarse = graph.add("Gather", parts[-1], graph.constant(np.arange(4)), axis=1)
        output = graph.add("Add", output, coarse)
    density = graph.add("Gather", output, graph.constant(np.array(0)), axis=1)
    shifted = graph.add("Sub", density, graph.constant(np.float32(DENSITY_SHIFT)))
    graph.add("Mul", graph.add("Softplus", shifted), graph.constant(np.float32(DENSITY_SCALE)), output="density")
    graph.add("Sigmoid", graph.add("Gather", output, graph.constant(np.arange(1, 4)), axis=1), output="color")


def _layer(graph: _Graph, values: str, matrix: Array, constant: int | None = None) -> str:
    """values matrix^T; the column `constant` belongs to a feature that is always 1 and not among `values`."""
    if constant is None:
        return graph.add("Gemm", values, graph.constant(matrix), transB=1)
    rest = np.delete(matrix, constant, axis=1)
    return graph.add("Gemm", values, graph.constant(rest), graph.constant(matrix[:, constant]), transB=1)


def _frequencies(graph: _Graph, values: str, octaves: int) -> list[str]:
    """`frequency_encoding` without its constant."""
    parts = [values]
    for octave in range(octaves):
        angles = graph.add("Mul", values, graph.constant(np.float32(math.pi * 2**octave)))
        parts += [graph.add("Sin", angles), graph.add("Cos", angles)]
    return parts


def _sampled(graph: _Graph, grid: Array, axes: list[int]) -> str:
    """Features [point, channel] of a grid [1, channel, ...], read at the positions' `axes`."""
    where = graph.add("Gather", "positions", graph.constant(np.array(axes)), axis=1)
    shape = [1] * len(axes) + [-1, len(axes)]
    where = graph.add("Reshape", where, graph.constant(np.array(shape)))
    read = graph.add("GridSample", graph.constant(grid), where, mode="linear", padding_mode="border", align_corners=0)
    flat = graph.add("Reshape", read, graph.constant(np.array([grid.shape[1], -1])))
    return graph.add("Transpose", flat, perm=[1, 0])


def onnx_difference(path: Path | str, scene: SceneField, points: int = 4096) -> tuple[float, float]:
    """The largest differences of (opacity over a hundredth of the radius, color) between the file, run by onnxruntime, and the
    field, at random points of the scene sphere.

    Raises:
        InputError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"{path}: the check needs onnxruntime: {INSTALL}") from None
    generator = torch.Generator().manual_seed(0)
    positions, directions = torch.nn.functional.normalize(torch.randn(2, points, 3, generator=generator), dim=-1)
    positions = positions * torch.rand(points, 1, generator=generator) ** (1 / 3)
    with torch.no_grad():
        truth = radiance_field(positions[None], directions[None], scene.weights)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {"positions": positions.numpy(), "directions": directions.numpy()}
    names = {value.name for value in session.get_inputs()}
    density, color = session.run(["density", "color"], {name: value for name, value in feeds.items() if name in names})
    opacity, expected = (1 - np.exp(-0.01 * value) for value in (density, truth.density[0].numpy()))
    return float(np.abs(opacity - expected).max()), float(np.abs(color - truth.color[0].numpy()).max())
