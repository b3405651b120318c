"""Small valid scenes in formats that this project reads, and does not write as folders."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from hypernerf.geometry import to_opengl
from hypernerf.types import Cameras
from scenes.packed_index import FILE, PackedIndex
from scenes.shards import HULL, PackedScene, Shard, scene_members, write_shard
from scenes.source import SPLITS, Split


def _save_images(folder: Path, pixels: np.ndarray, name: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [name.format(number) for number in range(len(pixels))]
    for image, file in zip(pixels, names, strict=True):
        Image.fromarray(image).save(folder / file)
    return names


def _world_to_camera(cameras: Cameras) -> np.ndarray:
    return np.linalg.inv(cameras.camera_to_world.double().numpy())


def write_colmap(folder: Path, pixels: np.ndarray, cameras: Cameras, binary: bool) -> None:
    """A sparse model of one PINHOLE camera, with two points in each image."""
    names = _save_images(folder / "images", pixels, "{}.png")
    place = folder / "sparse" / "0"
    place.mkdir(parents=True)
    lens = cameras.intrinsics[0].tolist()
    poses = [
        (*np.roll(Rotation.from_matrix(matrix[:3, :3]).as_quat(), 1), *matrix[:3, 3]) for matrix in _world_to_camera(cameras)
    ]
    if not binary:
        (place / "cameras.txt").write_text(f"1 PINHOLE {cameras.width} {cameras.height} {' '.join(map(repr, lens))}\n")
        lines = [f"{n + 1} {' '.join(f'{v:.9g}' for v in pose)} 1 {names[n]}\n1 2 -1 3 4 5\n" for n, pose in enumerate(poses)]
        (place / "images.txt").write_text("".join(lines))
        return
    data = struct.pack("<QIiQQ4d", 1, 1, 1, cameras.width, cameras.height, *lens)
    (place / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(poses))
    for number, pose in enumerate(poses):
        data += struct.pack("<I7dI", number + 1, *pose, 1) + names[number].encode() + b"\0"
        data += struct.pack("<QddqddQ", 2, 1, 2, -1, 3, 4, 5)
    (place / "images.bin").write_bytes(data)


def write_nmr(folder: Path, pixels: np.ndarray, cameras: Cameras) -> None:
    _save_images(folder / "image", pixels[..., :3], "{:04d}.png")
    fx, fy, _, _ = cameras.intrinsics[0].tolist()
    lens = np.diag([2 * fx / cameras.width, 2 * fy / cameras.height, 1.0, 1.0])
    arrays: dict[str, Any] = {f"world_mat_{number}": matrix for number, matrix in enumerate(_world_to_camera(cameras))}
    arrays |= {f"camera_mat_{number}": lens for number in range(len(pixels))}
    np.savez(folder / "cameras.npz", **arrays)


def write_learnit(root: Path, pixels: np.ndarray, cameras: Cameras) -> None:
    folder = root / "chairs" / "03001627" / "abc"
    names = _save_images(folder, pixels, "r_{}.png")
    frames = [
        {"file_path": f"./renders/abc/{Path(name).stem}", "transform_matrix": pose.tolist()}
        for name, pose in zip(names, to_opengl(cameras.camera_to_world), strict=True)
    ]
    angle = 2 * math.atan(cameras.width / 2 / float(cameras.intrinsics[0, 0]))
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    (root / "chair_splits.json").write_text(json.dumps({split: ["03001627/abc"] for split in ("train", "val", "test")}))


def write_photos(folder: Path, pixels: np.ndarray, cameras: Cameras) -> None:
    _save_images(folder, pixels, "{}.png")


def write_packed(path: Path, pixels: np.ndarray, cameras: Cameras) -> Shard:
    """A shard of two scenes: with mask and hull, and without."""
    planes, hull = torch.from_numpy(pixels), torch.zeros(HULL[0] * HULL[1], dtype=torch.uint8)
    whole = PackedScene("whole", planes[..., :3], planes[..., 3], cameras, torch.ones(3), hull)
    return write_shard(path, map(scene_members, [whole, replace(whole, key="without/mask", masks=None, hull=None)]))


def write_collection(folder: Path, pixels: np.ndarray, cameras: Cameras) -> None:
    shards: dict[Split, tuple[Shard, ...]] = {
        split: (write_packed(folder / f"{split}-000000.tar", pixels, cameras),) for split in SPLITS
    }
    height, width = pixels.shape[1:3]
    index = PackedIndex(height, width, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 1.0, (0.0, 0.0, 1.0), shards)
    (folder / FILE).write_text(index.to_json())
