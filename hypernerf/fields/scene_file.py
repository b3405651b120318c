"""The scene file: everything that rendering, meshing and viewing a reconstructed scene need, in tens of kilobytes.

`NAME.field.safetensors` holds the field's tensors in half precision, without a scene dimension; its metadata holds the
format's version, the architecture, the transform back to the user's coordinates, the background and the up axis, as JSON.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ..config import from_dict
from ..files import write_atomically
from ..reading import parse_json, shown
from ..tensor_files import KINDS, read_tensors
from ..types import InputError, SceneTransform
from .delta import SharedBase, decode, encode, load_base
from .spec import FieldSpec
from .weights import FieldWeights

FORMAT_VERSION = 1
SIZE_LIMIT = 1 << 29  # bytes; the largest field that a spec allows has half of it


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

    def __post_init__(self) -> None:
        if len(self.weights) != 1:
            raise InputError(f"a scene file holds one scene, not {len(self.weights)}")
        if not all(0 <= value <= 1 for value in self.background):
            raise InputError(f"background must lie in 0..1, not {self.background}")
        if not 0 < math.hypot(*self.up) < math.inf:
            raise InputError(f"up must be a direction, not {self.up}")
        if not 0 < self.camera_distance < math.inf or not 0 < self.field_of_view_degrees < 180:
            raise InputError("camera_distance must be positive and finite, field_of_view_degrees between 0 and 180")


def save_scene_file(path: Path | str, scene: SceneField) -> None:
    """Writes `scene` to `path`, whole or not at all. Raises `InputError` when the place cannot be written to."""
    tensors = {name: value[0].detach().to("cpu", torch.float16).contiguous() for name, value in scene.weights.tensors.items()}
    _write(path, scene, tensors, {"spec": asdict(scene.weights.spec)})


def save_delta_file(path: Path | str, scene: SceneField, base: SharedBase, coarseness: float = 1.0) -> None:
    """Writes what changes `base` into `scene`, and the base beside it if it is not there: `base.file_name`.

    Raises:
        InputError: the place cannot be written to, or the base is of another architecture.
    """
    packed = torch.frombuffer(bytearray(encode(base, scene.weights, coarseness)), dtype=torch.uint8)
    beside = Path(path).parent / base.file_name
    if not beside.exists():  # first, so that there is never a scene without its base
        base.save(beside)
    _write(path, scene, {"core": packed}, {"base": base.digest, "coarseness": coarseness})


def _write(path: Path | str, scene: SceneField, tensors: dict[str, torch.Tensor], kind: dict[str, Any]) -> None:
    facts = {f.name: getattr(scene, f.name) for f in fields(scene) if f.name != "weights"}
    facts["transform"] = asdict(scene.transform)
    data = save(tensors, {"hypernerf": json.dumps({"version": FORMAT_VERSION, **kind, **facts})})
    write_atomically(path, lambda place: place.write_bytes(data))


def load_scene_file(path: Path | str, base: Path | None = None) -> SceneField:
    """Reads a scene file, or a delta file merged with its base.

    Args:
        base: of a delta file: a base file or a folder with one; None: the one beside it of the name it was written with.

    Raises:
        InputError: no such file, not a scene file, truncated, of another format version, or with tensors that do not fit.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such scene file: make one with tools/reconstruct.py")
    tensors, metadata = read_tensors(path, SIZE_LIMIT, (*KINDS, torch.uint8))
    try:
        facts = parse_json(metadata["hypernerf"])
        version = facts.pop("version")
    except (KeyError, AttributeError, TypeError, ValueError):
        raise InputError(f"{path}: not a scene file: make one with tools/reconstruct.py") from None
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: scene file of version {shown(version)}, this program reads {FORMAT_VERSION}: make it anew")
    try:
        digest, coarseness = facts.pop("base", None), facts.pop("coarseness", 1.0)
        missing = {f.name for f in fields(SceneField)} - {"weights"} - facts.keys()
        if missing:
            raise InputError(f"lacks {', '.join(sorted(missing))}")
        if digest is None:
            spec = from_dict(FieldSpec, facts.pop("spec", {}), "spec")
            weights = FieldWeights(spec, {name: value[None] for name, value in tensors.items()})
        else:
            shared = _base_of(path, digest, base)
            weights = decode(shared, tensors["core"].to(torch.uint8).numpy().tobytes(), _positive(coarseness))
        return from_dict(SceneField, facts, weights=weights)
    except _BaseError as error:
        raise InputError(str(error)) from None
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the scene file's contents do not fit together ({error})") from None


class _BaseError(ValueError):
    """The delta file is sound, but not its base."""


def _base_of(path: Path, digest: Any, base: Path | None) -> SharedBase:
    """The base that a delta file names. Raises `_BaseError` when it is not there, or another one is."""
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{16}", digest):
        raise ValueError("the base it names is none")
    beside = path.parent / f"base-{digest}.safetensors"
    if base is None and not beside.exists():
        raise _BaseError(f"{path}: changes a base that is not beside it ({beside.name}): give --base FILE or RUN")
    shared = load_base(beside if base is None else base)
    if shared.digest != digest:
        raise _BaseError(f"{base or beside}: has digest {shared.digest}, but {path} changes {digest}: give --base of its own run")
    return shared


def _positive(value: Any) -> float:
    if not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise ValueError(f"coarseness must be between 0 and 1e9, not {shown(value)}")
    return float(value)
