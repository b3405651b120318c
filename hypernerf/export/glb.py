"""A mesh with colors at its vertices as binary glTF 2.0, so that any viewer shows the colors as they are.

Two things the specification says: `COLOR_0` is linear, while our colors are in display encoding; and a mesh without a material is
rough metal, lit by whatever light there is, while the light is in our colors already: hence `KHR_materials_unlit`.
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html sections 3.7.2, 3.9 and 4.4
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array

from ..srgb import to_linear

_FLOAT, _UNSIGNED_INT, _VERTICES, _INDICES = 5126, 5125, 34962, 34963


def glb_bytes(vertices: Float[Array, "vertex 3"], faces: Int[Array, "face 3"], colors: Float[Array, "vertex 3"]) -> bytes:
    """The file's contents, in 32-bit numbers. `colors` are in display encoding, in [0, 1]; the file's are linear."""
    positions, corners = vertices.astype("<f4"), faces.astype("<u4").reshape(-1)
    light = np.ones((len(positions), 4), "<f4")
    light[:, :3] = to_linear(np.clip(colors.astype(np.float64), 0, 1))
    parts = [positions.tobytes(), light.tobytes(), corners.tobytes()]
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "hypernerf"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0, "mode": 4}]}],
        "materials": [
            {"name": "colors", "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
             "extensions": {"KHR_materials_unlit": {}}}
        ],
        "accessors": [
            {"bufferView": 0, "componentType": _FLOAT, "type": "VEC3", "count": len(positions),
             "min": positions.min(0).tolist(), "max": positions.max(0).tolist()},
            {"bufferView": 1, "componentType": _FLOAT, "type": "VEC4", "count": len(light)},
            {"bufferView": 2, "componentType": _UNSIGNED_INT, "type": "SCALAR", "count": len(corners)},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": len(part), "target": target}
            for start, part, target in zip(starts, parts, (_VERTICES, _VERTICES, _INDICES), strict=False)
        ],
        "buffers": [{"byteLength": starts[-1]}],
    }  # fmt: skip
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", starts[-1], 0x004E4942) + b"".join(parts)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
