"""Scenes in tar files, in WebDataset's layout (https://github.com/webdataset/webdataset): a scene is consecutive members

    KEY.json       cameras [view] (camera-to-world, OpenCV axes; fx fy cx cy in pixels), background, the images' size
    KEY.png        all views, one below the other: RGB over the background, and coverage by the object as alpha where it is known
    KEY.hull.png   the packed visual hull where there is one: 8 bytes a row, 8 cells a byte, 64 x 64 rows

with 8 bits a channel, as training keeps them. Members of other kinds are passed over.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from hypernerf.reading import parse_json, read_aside
from hypernerf.types import Cameras, SceneViews

from .images import MAX_BYTES, MAX_PIXELS, decoding
from .source import MAX_SIDE, SceneError, check_cameras
from .tar import Member, Opened, padding, tar_header, tar_members

MAX_SHARD = 1 << 31  # bytes
MAX_JSON = 1 << 22
MAX_VIEWS = 10_000
HULL = (64 * 64, 8)  # rows and columns


@dataclass(frozen=True)
class PackedScene:
    """A scene in 8 bits, in the units and axes of its source."""

    key: str
    images: UInt8[Tensor, "view height width 3"]
    masks: UInt8[Tensor, "view height width"] | None
    cameras: Cameras  # batch shape [view]
    background: Float[Tensor, " 3"]
    hull: UInt8[Tensor, " bytes"] | None = None

    @staticmethod
    def of(views: SceneViews, key: str) -> PackedScene:
        """Images and masks to the nearest of 256 values; depth is not kept."""
        masks = None if views.masks is None else (views.masks * 255).round().to(torch.uint8)
        images = (views.images * 255).round().to(torch.uint8)
        return PackedScene(key, images, masks, views.cameras, views.background)

    def views(self) -> SceneViews:
        masks = None if self.masks is None else self.masks.float() / 255
        return SceneViews(self.key, self.cameras, self.images.float() / 255, self.background, masks)


def scene_members(scene: PackedScene) -> list[tuple[str, bytes]]:
    """Names and contents of a scene's members. Raises `SceneError` when its images are too large together."""
    count, height, width = scene.images.shape[:3]
    if count * height * width > MAX_PIXELS:
        raise SceneError(
            f"{scene.key}: {count} views of {height}x{width} are more than {MAX_PIXELS} pixels: set source.image_size"
        )
    planes = scene.images if scene.masks is None else torch.cat([scene.images, scene.masks[..., None]], dim=-1)
    facts = {
        "height": height, "width": width, "background": _numbers(scene.background),
        "intrinsics": _numbers(scene.cameras.intrinsics), "camera_to_world": _numbers(scene.cameras.camera_to_world),
    }  # fmt: skip
    members = [("json", json.dumps(facts).encode()), ("png", _png(planes.numpy().reshape(count * height, width, -1)))]
    if scene.hull is not None:
        members.append(("hull.png", _png(scene.hull.numpy().reshape(HULL))))
    return [(f"{scene.key}.{kind}", data) for kind, data in members]


def _numbers(values: Float[Tensor, ...]) -> Any:
    """Nested lists of the shortest numbers that are these when rounded to float32."""
    flat = np.array([float(str(value)) for value in values.numpy().ravel()])
    return flat.reshape(values.shape).tolist()


def _png(pixels: UInt8[np.ndarray, ...]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Shard:
    """A file in the folder of a packed collection."""

    file: str
    scenes: int
    bytes: int
    blake2b: str  # digest, 16 bytes in hexadecimal


def write_shard(path: Path, scenes: Iterable[Sequence[tuple[str, bytes]]]) -> Shard:
    """Writes scenes, each as `scene_members` gives it."""
    digest, count, size = hashlib.blake2b(digest_size=16), 0, 0
    with path.open("wb") as file:

        def put(data: bytes) -> None:
            nonlocal size
            file.write(data)
            digest.update(data)
            size += len(data)

        for members in scenes:
            count += 1
            for name, data in members:
                put(tar_header(name, len(data)) + data + bytes(padding(len(data))))
        put(bytes(1024))
    return Shard(path.name, count, size, digest.hexdigest())


def each_scene(path: Path, shard: Shard | None = None) -> Iterator[PackedScene]:
    """The scenes of a file, one after the other; where `shard` is given, they must be what it says, to the bit.

    Raises:
        SceneError: the file is missing, damaged or not such a file, or a scene in it is unusable.
    """
    file, size = read_aside(path, MAX_SHARD if shard is None else shard.bytes, SceneError)
    if shard is not None and hashlib.blake2b(memoryview(file)[:size], digest_size=16).hexdigest() != shard.blake2b:
        raise SceneError(f"{path}: not the file that was packed (its digest differs): copy it again, or pack anew")
    count = 0
    for members in scenes_in(file, size, str(path)):
        yield read_scene(file, members, str(path))
        count += 1
    if shard is not None and count != shard.scenes:
        raise SceneError(f"{path}: {count} scenes, index.json says {shard.scenes}: pack anew")


def read_shard(path: Path, shard: Shard | None = None) -> list[PackedScene]:
    """All scenes of a file at once. Raises `SceneError` as `each_scene` does."""
    return list(each_scene(path, shard))


@dataclass(frozen=True)
class SceneMembers:
    """Where in a file one scene is, by kind (what follows the first dot of the members' names)."""

    key: str
    kinds: dict[str, Member]


def scenes_in(file: Opened, size: int, where: str) -> Iterator[SceneMembers]:
    """The scenes of an open shard, by its headers alone: consecutive members of one key. Raises `SceneError`."""
    current = None
    for member in tar_members(file, size, where):
        folder, slash, name = member.name.rpartition("/")
        stem, _, kind = name.partition(".")
        key = folder + slash + stem
        if current is None or current.key != key:
            if current is not None:
                yield current
            current = SceneMembers(key, {})
        if kind in current.kinds:
            raise SceneError(f"{where}: two members {member.name}")
        current.kinds[kind] = member
    if current is not None:
        yield current


def read_scene(file: Opened, members: SceneMembers, where: str) -> PackedScene:
    """One scene of an open shard. Raises `SceneError`."""
    name = f"{where}: {members.key}"
    for kind in ("json", "png"):
        if kind not in members.kinds:
            raise SceneError(f"{name}.{kind}: no such member: a scene has a .json and a .png")
    cameras, background = _read_facts(_contents(file, members.kinds["json"], MAX_JSON, name), f"{name}.json")
    height, width = cameras.height, cameras.width
    pixels = _read_pixels(file, members.kinds["png"], (len(cameras) * height, width), ("RGB", "RGBA"), f"{name}.png")
    planes = torch.from_numpy(pixels.reshape(len(cameras), height, width, -1))
    masks = planes[..., 3].contiguous() if planes.shape[-1] == 4 else None
    scene = PackedScene(members.key, planes[..., :3].contiguous(), masks, cameras, background)
    if "hull.png" in members.kinds:
        hull = _read_pixels(file, members.kinds["hull.png"], HULL, ("L",), f"{name}.hull.png")
        scene = replace(scene, hull=torch.from_numpy(hull.flatten()))
    return scene


def _contents(file: Opened, member: Member, limit: int, name: str) -> bytes:
    if member.size > limit:
        raise SceneError(f"{name}: a member of {member.size} bytes, more than the {limit} that such a one may have")
    file.seek(member.offset)
    return file.read(member.size)


def _read_facts(data: bytes, name: str) -> tuple[Cameras, Float[Tensor, " 3"]]:
    try:
        facts = parse_json(data.decode())
        height, width = facts["height"], facts["width"]
        if not all(type(side) is int and 1 <= side <= MAX_SIDE for side in (height, width)):
            raise ValueError(f"height and width must be whole numbers from 1 to {MAX_SIDE}")
        with np.errstate(over="ignore"):  # infinities are refused below
            arrays = [np.array(facts[key], dtype=np.float32) for key in ("intrinsics", "camera_to_world", "background")]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise SceneError(f"{name}: cannot be read ({type(error).__name__}: {error})") from None
    intrinsics, poses, background = map(torch.from_numpy, arrays)
    count = len(intrinsics) if intrinsics.ndim else 0
    if (tuple(intrinsics.shape), tuple(poses.shape), tuple(background.shape)) != ((count, 4), (count, 4, 4), (3,)):
        raise SceneError(f"{name}: expected intrinsics [view, 4], camera_to_world [view, 4, 4] and background [3]")
    if not 1 <= count <= MAX_VIEWS or not bool(((background >= 0) & (background <= 1)).all()):
        raise SceneError(f"{name}: a scene has 1 to {MAX_VIEWS} views, and a background in [0, 1]")
    cameras = Cameras(poses, intrinsics, height, width)
    check_cameras(name, cameras)
    return cameras, background


def _read_pixels(
    file: Opened, member: Member, size: tuple[int, int], modes: tuple[str, ...], name: str
) -> UInt8[np.ndarray, ...]:
    """A PNG of `size` = (height, width)."""
    contents = io.BytesIO(_contents(file, member, MAX_BYTES, name))
    with decoding(contents, name, whole=True, formats=("PNG",)) as image:
        if (image.height, image.width) != size or image.mode not in modes:
            raise SceneError(f"{name}: {image.width}x{image.height} {image.mode}, not {size[1]}x{size[0]} {' or '.join(modes)}")
        return np.array(image)
