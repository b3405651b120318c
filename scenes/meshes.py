"""A folder of mesh files as scenes: each is drawn when it is first asked for, and kept in a cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hypernerf.reading import inside, read_bytes
from hypernerf.types import InputError, SceneViews, require_within

from .cache import cached_pixels, save_bytes, save_pixels
from .folders import divide, require_root
from .orbits import surrounding_cameras
from .source import SceneError, SourceConfig, Split, register_source

VERSION = 2  # of how scenes are drawn: raise it when the same mesh gives other pixels, so that caches are not mixed up
MAX_NAMES = 1 << 20
SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
COLORS = "red|blue|green|yellow|orange|purple|pink|brown|black|white|gray|grey|cyan|magenta"


@dataclass(frozen=True)
class MeshesConfig(SourceConfig):
    """`root` is searched with its subfolders. Meshes that differ by a color's name alone stay in one split."""

    center: tuple[float, float, float] | None = (0.0, 0.0, 0.0)
    radius: float | None = 1.0
    views: int = 24
    size: int = 64  # pixels along a side
    supersample: int = 3  # rays a pixel: the square of this
    mesh_up: str = "y"  # the files' up axis: y (glTF, most OBJ) or z
    val_share: float = 0.05
    test_share: float = 0.15
    seed: int = 0
    cache: str | None = None  # folder; None: $HYPERNERF_CACHE, else ~/.cache/hypernerf

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mesh_up not in ("y", "z"):
            raise InputError(f"source.mesh_up must be y or z, not {self.mesh_up!r}")
        require_within("source", self, {"views": (1, 10_000), "size": (1, 4096), "supersample": (1, 16)})
        if not (self.val_share >= 0 and self.test_share >= 0 and self.val_share + self.test_share < 1):
            raise InputError("source.val_share and source.test_share must not be negative and leave room for training scenes")


def mesh_files(root: Path) -> list[Path]:
    """All mesh files under `root`, sorted. Raises `InputError` when there is none."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise InputError(f"{root}: no {', '.join(SUFFIXES)} files there")
    return found


def named_meshes(root: Path) -> dict[str, Path]:
    """The files by their names relative to `root`, without suffix; of one name, that whose suffix stands first in `SUFFIXES`."""
    files = mesh_files(root)
    names = [str(path.relative_to(root).with_suffix("")) for path in files]
    best: dict[str, Path] = {}
    for name, path in zip(names, files, strict=True):
        best[name] = min(best.get(name, path), path, key=lambda file: SUFFIXES.index(file.suffix.lower()))
    return best


def base_name(name: str) -> str:
    """The name without a color at its end: `pack/bed_red` and `pack/bed_blue` are one object in two colors."""
    return re.sub(rf"[_\-. ]({COLORS})$", "", name.lower())


def divide_meshes(names: list[str], val_share: float, test_share: float, seed: int = 0) -> dict[Split, list[str]]:
    """Splits by base name, so that no object is trained on in one color and measured in another."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(base_name(name), []).append(name)
    shares: dict[Split, float] = {"train": 1 - val_share - test_share, "val": val_share, "test": test_share}
    parts = divide(sorted(families), shares, seed)
    return {split: [name for family in chosen for name in families[family]] for split, chosen in parts.items()}


@register_source("meshes", MeshesConfig)
class MeshesSource:
    def __init__(self, config: MeshesConfig) -> None:
        self.config = config
        root = Path(require_root(config.root, "meshes"))
        self._files = named_meshes(root)
        self._splits = divide_meshes(list(self._files), config.val_share, config.test_share, config.seed)
        cache = config.cache or os.environ.get("HYPERNERF_CACHE") or Path.home() / ".cache" / "hypernerf"
        facts = [VERSION, config.views, config.size, config.supersample, config.mesh_up, config.seed]
        self.folder = Path(cache) / f"meshes-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}"

    def scene_ids(self, split: Split) -> list[str]:
        return self._splits[split]

    def load(self, scene_id: str) -> SceneViews:
        from .mesh_file import load_mesh
        from .mesh_rendering import draw_views, to_pixels

        config, file, root = self.config, self._files[scene_id], Path(str(self.config.root))
        inside(root, file.absolute(), follow_links=config.follow_links, error=SceneError)
        key = _digest([file], scene_id)  # cameras are of the name, which a root further up or down changes
        number = int(hashlib.sha256(os.fsencode(scene_id)).hexdigest()[:8], 16)
        cameras = surrounding_cameras(np.random.default_rng([config.seed, number]), config.views, config.size)
        drawn = self._drawn(key)
        pixels = None if drawn is None else cached_pixels(drawn, (config.views, config.size, config.size, 4))
        if pixels is None:
            mesh = load_mesh(file, config.mesh_up, root)
            pixels = to_pixels(draw_views(mesh, cameras, config.supersample)).numpy()
            save_bytes(self._named(key), b"\0".join(map(os.fsencode, mesh.files)))
            drawn = self._drawn(key)
            if drawn is not None:
                save_pixels(drawn, pixels)
        values = torch.from_numpy(pixels).float() / 255
        mask, background = values[..., 3], torch.tensor(config.background)
        images = values[..., :3] * mask[..., None] + background * (1 - mask[..., None])
        return SceneViews(scene_id, cameras, images, background, mask)

    def _named(self, key: str) -> Path:
        """Holds the paths of the files that a mesh file names."""
        return self.folder / f"{key}.files"

    def _drawn(self, key: str) -> Path | None:
        """Holds the pixels, which other textures change. None: not drawn yet."""
        try:
            named = read_bytes(self._named(key), MAX_NAMES).split(b"\0")
        except InputError:
            return None
        return self.folder / f"{_digest([Path(os.fsdecode(path)) for path in named if path], key)}.npy"


def _digest(files: Sequence[Path], name: str) -> str:
    """Of a name, and of what tells that one of the files has changed, come or gone."""
    facts = []
    for file in files:
        stat = file.stat() if file.exists() else None
        facts.append(f"{file.resolve()} {stat and (stat.st_size, stat.st_mtime_ns)}")
    return hashlib.sha256(os.fsencode(" ".join([*facts, name]))).hexdigest()[:16]
