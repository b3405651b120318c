"""pack_scenes: any source's scenes in a few large files, to be streamed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from scenes.loading import cores, scene_workers
from scenes.packed_index import FILE, PackedIndex
from scenes.shards import PackedScene, Shard, scene_members, write_shard
from scenes.source import SPLITS, SceneError, SceneSource, SourceConfig, Split, check_scene

from ..config import apply_overrides, load_yaml
from ..files import make_folder, write_atomically
from ..geometry import normalize_cameras
from ..training import StoredScene, evenly, shared_sphere, shared_up, store_scene
from ..training.hull import pack_hull, visual_hull
from ..types import InputError, SceneTransform
from .common import Parser, check_writable, console, open_source, parse_config, sphere_of, tracked, warn

LOOKED_AT = 64  # training scenes that sphere and up axis are estimated from, as training does
MAX_KEY = 80  # characters: a tar header has a hundred for key and suffix


@dataclass(frozen=True)
class _Packed:
    size: tuple[int, int]
    members: list[tuple[str, bytes]]


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        "Write all scenes of a source into tar files in WebDataset's layout, in OUT, with an index.json: to train on many more "
        "scenes than fit into memory (source.name: sharded, source.root: OUT), or to move them. Images are kept at 8 bits "
        "without loss; sphere, up axis and visual hulls are found now, once. Training scenes are shuffled. CONFIG is a YAML "
        "file whose source section says what to read; its keys can be set by --source.KEY VALUE.",
        "  python tools/pack_scenes.py configs/quickstart.yaml out/packed --shard-scenes 64\n"
        "  python tools/fit_scenes.py configs/streamed.yaml --source.root out/packed --train.minutes 1",
    )
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; see configs/")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write, which must not hold packed scenes yet")
    parser.add_argument("--shard-scenes", type=int, default=256, metavar="N", help="scenes a file (default: 256)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the order of the training scenes (default: 0)")
    parser.add_argument("--workers", type=int, default=cores(), help="processes (default: one a core)")
    options, overrides = parser.parse_known_args(arguments)
    if min(options.shard_scenes, options.workers) < 1:
        raise InputError("--shard-scenes and --workers must be at least 1")
    config, _ = parse_config(apply_overrides(load_yaml(options.config), overrides), options.config)
    source = open_source(config)
    if (options.out / FILE).exists():
        raise InputError(f"{options.out / FILE}: packed scenes are there already: choose another OUT")
    check_writable(options.out, "OUT")
    make_folder(options.out)
    index = _pack(source, config, options.out, options.shard_scenes, options.seed, options.workers)
    write_atomically(options.out / FILE, lambda path: path.write_text(index.to_json()))
    for split, shards in index.splits.items():
        scenes, size = sum(shard.scenes for shard in shards), sum(shard.bytes for shard in shards)
        console.print(f"{split}: {scenes} scenes in {len(shards)} shards, {size / 1e6:.1f} MB")


def _pack(source: SceneSource, config: SourceConfig, out: Path, shard_scenes: int, seed: int, workers: int) -> PackedIndex:
    """Writes the shards. Raises `InputError` when scenes are unusable or differ in size."""
    names = {split: source.scene_ids(split) for split in SPLITS}
    looked_at = _looked_at(source, config, names["train"] or names["test"])
    sphere = sphere_of(config) or shared_sphere(looked_at)
    height, width = looked_at[0].images.shape[1:3]
    order = np.random.default_rng(seed).permutation(len(names["train"]))
    jobs = [(split, name) for split in SPLITS for name in names[split]]
    jobs[: len(order)] = [("train", names["train"][i]) for i in order]
    keys = _keys([name for _, name in jobs])
    work = partial(_pack_scene, source, config.min_views, sphere)
    splits: dict[Split, tuple[Shard, ...]] = {}
    with scene_workers(workers, config.root or config.name) as pool:
        results = pool.map(work, [name for _, name in jobs], keys, chunksize=8)
        usable = _usable(tracked(results, "pack", len(jobs)), (height, width), config.max_bad_scenes)
        for split in SPLITS:
            part = (packed for packed in islice(usable, len(names[split])) if packed is not None)
            splits[split] = tuple(_shards(part, out, split, shard_scenes))
    if not any(splits.values()):
        raise InputError(f"{config.root or config.name}: no usable scene: check source.root")
    up = config.up or shared_up(looked_at)
    return PackedIndex(height, width, config.background, sphere.center, sphere.radius, up, splits)


def _looked_at(source: SceneSource, config: SourceConfig, names: Sequence[str]) -> list[StoredScene]:
    found = []
    for name in evenly(names, LOOKED_AT):
        try:
            found.append(store_scene(check_scene(source.load(name), config.min_views)))
        except SceneError:  # said when its turn comes
            continue
    if any(scene.times is not None for scene in found):
        raise InputError(f"source.name {config.name}: scenes that move cannot be packed: train on the source itself")
    if not found:
        raise InputError(f"{config.root or config.name}: no usable scene among those looked at: try tools/check_scenes.py")
    return found


def _keys(names: Sequence[str]) -> list[str]:
    """Names that a tar file and WebDataset can have: letters, digits, _ - and / alone, all different."""
    keys: dict[str, str] = {}
    for name in names:
        key = re.sub(r"[^\w/-]", "_", name, flags=re.ASCII).strip("/") or "_"
        if key in keys or len(key) > MAX_KEY:
            key = f"{key[: MAX_KEY - 17]}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
        keys[key] = name
    return list(keys)


def _pack_scene(source: SceneSource, min_views: int, sphere: SceneTransform, name: str, key: str) -> _Packed | SceneError:
    try:
        scene = PackedScene.of(check_scene(source.load(name), min_views), key)
        if scene.masks is not None:
            scene = replace(scene, hull=pack_hull(visual_hull(scene.masks, normalize_cameras(scene.cameras, sphere))))
        return _Packed((scene.cameras.height, scene.cameras.width), scene_members(scene))
    except SceneError as error:
        return error


def _usable(results, size: tuple[int, int], most_bad: int) -> Iterator[_Packed | None]:
    """The results, None for those that are unusable; each of these is named. Raises `InputError` at one too many."""
    bad = 0
    for result in results:
        if isinstance(result, SceneError):
            bad += 1
            warn(f"skipped: {result}")
            if bad > most_bad:
                raise InputError(f"{bad} unusable scenes, the last: {result}: mend them, or raise source.max_bad_scenes")
            yield None
            continue
        if result.size != size:
            raise InputError(
                f"{result.members[0][0]}: images of {result.size} among scenes of {size}: set source.image_size"
            )  # fmt: skip
        yield result


def _shards(scenes: Iterator[_Packed], out: Path, split: Split, shard_scenes: int) -> Iterator[Shard]:
    for number, first in enumerate(scenes):
        part = chain([first], islice(scenes, shard_scenes - 1))
        yield write_shard(out / f"{split}-{number:06d}.tar", (packed.members for packed in part))
