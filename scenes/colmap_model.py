"""COLMAP's sparse models, text or binary: cameras and the poses of images. 3D points and their tracks are passed over.

https://colmap.github.io/format.html: little endian; an image's quaternion (w, x, y, z) and translation take world to camera.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from hypernerf.reading import read_bytes, shown
from hypernerf.types import InputError

from .distortion import Distortion, Lens
from .source import MAX_SIDE, SceneError

Entry = TypeVar("Entry")
FILE_LIMIT = 1 << 29  # bytes; beyond any reconstruction of an object, with the 2D points of all its images
MAX_ENTRIES = 20_000  # images or cameras
MAX_NAME = 1024  # characters of an image's name
MODELS = {  # name: (number in binary files, names of the parameters)
    "SIMPLE_PINHOLE": (0, "f cx cy"),
    "PINHOLE": (1, "fx fy cx cy"),
    "SIMPLE_RADIAL": (2, "f cx cy k1"),
    "RADIAL": (3, "f cx cy k1 k2"),
    "OPENCV": (4, "fx fy cx cy k1 k2 p1 p2"),
    "OPENCV_FISHEYE": (5, "fx fy cx cy k1 k2 k3 k4"),
}
BY_NUMBER = {number: name for name, (number, _) in MODELS.items()}


@dataclass(frozen=True)
class ColmapCamera:
    height: int
    width: int
    lens: Lens


@dataclass(frozen=True)
class ColmapImage:
    name: str
    camera: int
    world_to_camera: Float[Tensor, "4 4"]  # float64, OpenCV axes


def model_files(folder: Path) -> tuple[str, str] | None:
    """The model's cameras and images, in `sparse/0`, `sparse`, `colmap/sparse/0` or the folder itself; None if nowhere.

    Binary files come first, as in COLMAP itself.
    """
    for place in ("sparse/0", "sparse", "colmap/sparse/0", "."):
        for suffix in (".bin", ".txt"):
            if (folder / place / f"cameras{suffix}").is_file():
                return f"{place}/cameras{suffix}", f"{place}/images{suffix}"
    return None


def read_model(camera_file: Path, image_file: Path) -> tuple[dict[int, ColmapCamera], list[ColmapImage]]:
    """All cameras by their number, and the images sorted by name.

    Raises:
        SceneError: names the file and what is wrong with it.
    """
    binary = camera_file.suffix == ".bin"
    cameras_of, images_of = (_binary_cameras, _binary_images) if binary else (_text_cameras, _text_images)
    cameras = dict(_entries(camera_file, cameras_of))
    images = list(_entries(image_file, images_of))
    for image in images:
        if image.camera not in cameras:
            raise SceneError(f"{image_file}: image {image.name!r} has camera {image.camera}, which {camera_file.name} lacks")
    if not images:
        raise SceneError(f"{image_file}: no image has a pose: COLMAP could not place any")
    return cameras, sorted(images, key=lambda image: image.name)


def _entries(path: Path, parse: Callable[[Path, bytes], Iterator[Entry]]) -> Iterator[Entry]:
    """What `parse` makes of the file, as much as a scene may have."""
    try:
        for number, entry in enumerate(parse(path, read_bytes(path, FILE_LIMIT, SceneError))):
            if number == MAX_ENTRIES:
                raise SceneError(f"{path}: more than {MAX_ENTRIES} entries, which no scene of one object has")
            yield entry
    except (struct.error, UnicodeDecodeError, OverflowError):
        raise SceneError(f"{path}: cut off, or no file of COLMAP: export the model anew") from None


def _camera(where: str, model: str, width: int, height: int, values: list[float]) -> ColmapCamera:
    if model not in MODELS:
        raise SceneError(
            f"{where} has the model {model}, not one of {', '.join(MODELS)}: run `colmap image_undistorter`, and give its output"
        )
    names = MODELS[model][1].split()
    if len(values) != len(names):
        raise SceneError(f"{where}: {model} has {len(names)} parameters, not {len(values)}")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise SceneError(f"{where}: an image size of {width}x{height} is none")
    own = dict(zip(names, values, strict=True))
    bends = {name: value for name, value in own.items() if name[0] in "kp" and value}
    fisheye = model == "OPENCV_FISHEYE"
    fx, fy = own.get("f", own.get("fx", 0.0)), own.get("f", own.get("fy", 0.0))
    try:
        distortion = Distortion(fisheye, **bends) if bends or fisheye else None
        return ColmapCamera(height, width, Lens(fx, fy, own["cx"], own["cy"], distortion))
    except InputError as error:
        raise SceneError(f"{where}: {error}") from None


def _image(where: str, values: list[float], camera: int, name: str) -> ColmapImage:
    quaternion, translation = torch.tensor(values[:4]).double(), torch.tensor(values[4:]).double()
    norm = quaternion.norm()
    if not bool(torch.isfinite(quaternion).all() and torch.isfinite(translation).all()) or not 0.5 < float(norm) < 2:
        raise SceneError(f"{where}: the pose of {name!r} is no rotation and translation")
    w, x, y, z = (quaternion / norm).tolist()
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )
    pose[:3, 3] = translation
    return ColmapImage(name, camera, pose)


def _binary_cameras(path: Path, data: bytes) -> Iterator[tuple[int, ColmapCamera]]:
    (count,), at = struct.unpack_from("<Q", data), 8
    for _ in range(count):
        number, model_number, width, height = struct.unpack_from("<IiQQ", data, at)
        where, at = f"{path}: camera {number}", at + 24
        model = BY_NUMBER.get(model_number, f"number {model_number}")
        parameters = len(MODELS[model][1].split()) if model in MODELS else 0
        yield number, _camera(where, model, width, height, list(struct.unpack_from(f"<{parameters}d", data, at)))
        at += 8 * parameters


def _binary_images(path: Path, data: bytes) -> Iterator[ColmapImage]:
    (count,), at = struct.unpack_from("<Q", data), 8
    for _ in range(count):
        number, *values, camera = struct.unpack_from("<I7dI", data, at)
        end = data.find(b"\0", at + 64, at + 64 + MAX_NAME)
        if end < 0:
            raise SceneError(f"{path}: the name of image {number} does not end")
        yield _image(str(path), values, camera, data[at + 64 : end].decode())
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
        if at > len(data):
            raise SceneError(f"{path}: image {number} claims {points} points, more than the file holds: export the model anew")


def _lines(data: bytes) -> list[str]:
    return [line.strip() for line in data.decode().splitlines() if not line.startswith("#")]


def _text_cameras(path: Path, data: bytes) -> Iterator[tuple[int, ColmapCamera]]:
    for line in filter(None, _lines(data)):
        number, model, width, height, *values = _words(path, line, 5)
        try:
            camera = int(number), int(width), int(height), [float(value) for value in values]
        except ValueError:
            raise SceneError(f"{path}: no camera: {shown(line)}") from None
        yield camera[0], _camera(f"{path}: camera {number}", model, camera[1], camera[2], camera[3])


def _text_images(path: Path, data: bytes) -> Iterator[ColmapImage]:
    lines = _lines(data)  # two an image: the pose, then its 2D points, which may be an empty line
    while lines and not lines[-1]:
        lines.pop()
    for line in lines[::2]:
        _, *values, camera, name = _words(path, line, 10, 9)
        try:
            yield _image(str(path), [float(value) for value in values], int(camera), name)
        except ValueError:
            raise SceneError(f"{path}: no image: {shown(line)}") from None


def _words(path: Path, line: str, least: int, splits: int = -1) -> list[str]:
    words = line.split(None, splits)
    if len(words) < least:
        raise SceneError(f"{path}: expected at least {least} words: {shown(line)}")
    return words
