"""The scene file: everything that rendering, meshing and viewing a reconstructed scene need, in tens of kilobytes.

`NAME.field.safetensors` holds the field's tensors in half precision, without a scene dimension; its metadata holds the
format's version, the architecture, the transform back to the user's coordinates, the background and the up axis, as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..files import write_atomically
from ..types import InputError, SceneTransform
from .spec import FieldSpec
from .weights import FieldWeights

FORMAT_VERSION = 1


@dataclass(frozen=True)
class SceneField:
    """One reconstructed scene. `weights` hold one scene, at the precision of the file (see `FieldWeights.rounded`)."""

    name: str
    weights: FieldWeights
    transform: SceneTransform = field(default_factory=SceneTransform)
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)  # in the user's axes
    camera_distance: float = 2.6  # from which the scene was seen, in scene-sphere radii: where an orbit is placed
    field_of_view_degrees: float = 45.0


def save_scene_file(path: Path | str, scene: SceneField) -> None:
    """Writes `scene` to `path`, whole or not at all. Raises `InputError` when the place cannot be written to."""
    tensors = {name: value[0].detach().to("cpu", torch.float16).contiguous() for name, value in scene.weights.tensors.items()}
    facts = {f.name: getattr(scene, f.name) for f in fields(scene) if f.name != "weights"}
    facts["transform"] = asdict(scene.transform)
    metadata = {"version": FORMAT_VERSION, "spec": asdict(scene.weights.spec), **facts}
    data = save(tensors, {"hypernerf": json.dumps(metadata)})
    write_atomically(path, lambda place: place.write_bytes(data))


def load_scene_file(path: Path | str) -> SceneField:
    """Reads a scene file.

    Raises:
        InputError: no such file, not a scene file, truncated, of another format version, or with tensors that do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such scene file: make one with tools/reconstruct.py")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["hypernerf"])
            tensors = {name: file.get_tensor(name).to(torch.float32)[None] for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise InputError(f"{path}: not a scene file, or truncated ({error}): make it anew") from None
    version = metadata.get("version") if isinstance(metadata, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: scene file of version {version}, this program reads {FORMAT_VERSION}: make it anew")
    try:
        spec = FieldSpec(**metadata.pop("spec"))
        transform = SceneTransform(tuple(metadata["transform"]["center"]), metadata["transform"]["radius"])
        return SceneField(
            name=metadata["name"],
            weights=FieldWeights(spec, tensors),
            transform=transform,
            background=tuple(metadata["background"]),
            up=tuple(metadata["up"]),
            camera_distance=float(metadata["camera_distance"]),
            field_of_view_degrees=float(metadata["field_of_view_degrees"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the scene file's contents do not fit together ({error})") from None
