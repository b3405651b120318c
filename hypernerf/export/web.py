"""The page that draws fields: one HTML file that asks for nothing else, where a browser's GPU evaluates the fields themselves.

The program is in `page/`: `field.glsl`, `march.glsl` and `occupancy.glsl` follow the Python renderer line by line, `renderer.js`
runs them, `orbit.js` and `page.js` are what people touch. This file packs weights into texels and says which constants are
compiled in.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16
from torch import Tensor
from torch.nn.functional import pad

from ..fields import DENSITY_SCALE, DENSITY_SHIFT, FieldSpec, FieldWeights, SceneField
from ..files import write_atomically
from ..ops import BINS
from ..rendering import RenderSettings
from ..rendering.occupancy import EMPTY_DENSITY
from ..types import InputError

GRID = RenderSettings().grid
ROW = 2048  # texels in a row of weights, and rows at most: every WebGL2 has textures of this size
GRID_ROW = 256  # texels in a row of the occupancy grid


def write_web_page(path: Path | str, scenes: Sequence[SceneField], title: str) -> None:
    """Writes a page that shows `scenes`, whole or not at all; between scenes of equal architecture its slider mixes weights.

    Raises:
        InputError: the place cannot be written to, or a field is too large.
    """
    page = web_page(scenes, title)
    write_atomically(path, lambda place: place.write_text(page, encoding="utf-8"))


def web_page(scenes: Sequence[SceneField], title: str) -> str:
    """The page's text."""
    style, script = _asset("style.css"), "".join(_asset(f"{name}.js") for name in ("renderer", "orbit", "page"))
    parts = {
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}",
        "title": html.escape(title),
        "style": style,
        "script": script,
        "shaders": _json({name: _asset(f"{name}.glsl") for name in ("field", "march", "occupancy")}),
        "scenes": _json([_scene(scene) for scene in scenes]),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The source expression by which a content security policy lets this very text pass, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _scene(scene: SceneField) -> dict[str, Any]:
    constants, values = packed(scene.weights)
    return {
        "name": scene.name,
        "background": scene.background,
        "up": scene.up,
        "distance": scene.camera_distance,
        "fieldOfView": math.radians(scene.field_of_view_degrees),
        "constants": constants,
        "weights": base64.b64encode(values.tobytes()).decode(),
    }


def packed(weights: FieldWeights) -> tuple[dict[str, str], Float16[np.ndarray, " number"]]:
    """What a field's shader is compiled with, in GLSL's notation, and its tensors end to end as half floats, four to a texel.

    Matrices lie in blocks of 4 x 4, planes and the volume in groups of four channels; zeros fill up what is not a multiple of 4.

    Raises:
        InputError: the field is larger than the textures that every browser has.
    """
    spec = weights.spec
    offsets, parts, texels = {}, [], 0
    for name, tensor in weights.tensors.items():
        values = tensor[0].detach().cpu()
        part = _channels_last(values) if values.ndim > 2 else _blocks(_spread(name, values, spec))
        offsets[f"AT_{name.upper()}"] = texels
        texels += part.numel() // 4
        parts.append(part.flatten())
    offsets["AT_LAYER_LAST"] = offsets[f"AT_LAYER_{spec.depth}"]
    if texels > ROW * ROW:
        raise InputError(f"a web page can hold {4 * ROW * ROW} numbers, not this field's {4 * texels}: lower its resolutions")
    constants = {name: repr(value) for name, value in (_constants(spec) | offsets).items()}
    return constants, torch.cat(parts).to(torch.float16).numpy().astype("<f2")


def _constants(spec: FieldSpec) -> dict[str, int | float]:
    planes = math.ceil(spec.plane_channels / 4) if spec.plane_resolution else 0
    volume = math.ceil(spec.volume_channels / 4) if spec.volume_resolution else 0
    first = 1 + 2 * spec.position_frequencies + 3 * planes + volume
    color = spec.width // 4 + 1 + 2 * spec.direction_frequencies
    return {
        "WIDTH": spec.width,
        "DEPTH": spec.depth,
        "POSITION_OCTAVES": spec.position_frequencies,
        "DIRECTION_OCTAVES": spec.direction_frequencies,
        "INPUTS": max(first, color),  # of the widest layer, in groups of four
        "PLANE_SIZE": spec.plane_resolution,
        "PLANE_GROUPS": planes,
        "VOLUME_SIZE": spec.volume_resolution,
        "VOLUME_GROUPS": volume,
        "DENSITY_SHIFT": DENSITY_SHIFT,
        "DENSITY_SCALE": DENSITY_SCALE,
        "EMPTY_DENSITY": EMPTY_DENSITY,
        "BINS": BINS,
        "GRID": GRID,
        "GRID_ROW": GRID_ROW,
        "ROW": ROW,
    }


def _blocks(matrix: Tensor) -> Tensor:
    """[out, in] to [out / 4, in / 4, 4 inputs, 4 outputs]."""
    filled = pad(matrix, (0, -matrix.shape[1] % 4, 0, -len(matrix) % 4))
    return filled.unflatten(1, (-1, 4)).unflatten(0, (-1, 4)).permute(0, 2, 3, 1)


def _channels_last(features: Tensor) -> Tensor:
    """[part, channel, *places] to [part, channel / 4, *places, 4]."""
    filled = pad(features.movedim(1, -1), (0, -features.shape[1] % 4))
    return filled.unflatten(-1, (-1, 4)).movedim(-2, 1)


def _spread(name: str, matrix: Tensor, spec: FieldSpec) -> Tensor:
    """The matrix with its columns in the order in which the shader puts inputs: every kind begins a group of four."""
    if name == "layer_0":
        octaves, channels = spec.position_frequencies, []
        if spec.plane_resolution:
            channels += [spec.plane_channels] * 3
        if spec.volume_resolution:
            channels += [spec.volume_channels]
        sizes = [4 + 6 * octaves, *channels]
        frequencies, *features = matrix.split(sizes, dim=1)
        return torch.cat([_spread_octaves(frequencies), *(pad(part, (0, -part.shape[1] % 4)) for part in features)], dim=1)
    if name == "color_0":
        hidden, frequencies = matrix[:, : spec.width], matrix[:, spec.width :]
        return torch.cat([hidden, _spread_octaves(frequencies)], dim=1)
    return matrix


def _spread_octaves(columns: Tensor) -> Tensor:
    """Columns of x, sines, cosines, ..., 1 become those of (x, 1), (sines, 0), (cosines, 0), ..."""
    threes = pad(columns[:, 3:-1].unflatten(1, (-1, 3)), (0, 1)).flatten(1)
    return torch.cat([columns[:, :3], columns[:, -1:], threes], dim=1)
