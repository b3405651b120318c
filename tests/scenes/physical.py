"""One physical scene, written by hand in every format: nothing here calls the code that reads it."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

SIZE = 24
FOCAL = 30.0


@dataclass(frozen=True)
class Shot:
    """A photo: where the camera is, its right, down and forward directions (columns), and its pixels."""

    position: np.ndarray
    axes: np.ndarray
    pixels: np.ndarray  # [height, width, 3 or 4], 8 bits

    @property
    def camera_to_world(self) -> np.ndarray:
        result = np.eye(4)
        result[:3, :3], result[:3, 3] = self.axes, self.position
        return result

    @property
    def opengl(self) -> np.ndarray:
        right, down, forward = self.axes.T
        result = np.eye(4)
        result[:3, 0], result[:3, 1], result[:3, 2], result[:3, 3] = right, -down, -forward, self.position
        return result

    @property
    def world_to_camera(self) -> np.ndarray:
        result = np.eye(4)
        result[:3, :3], result[:3, 3] = self.axes.T, -self.axes.T @ self.position
        return result


def color_seen(directions: np.ndarray) -> np.ndarray:
    """A smooth panorama: the color in [0.1, 0.9] of each direction [..., 3]."""
    waves = np.array([[2.0, 1.0, 0.5], [-1.0, 2.5, 1.0], [0.5, -1.5, 2.0]])
    return 0.5 + 0.4 * np.sin(directions @ waves.T + np.array([0.3, 1.1, 2.0]))


def bend(x, y, lens: dict):
    """OpenCV's formulas; the perspective ones take arrays too."""
    k1, k2, k3, k4, p1, p2 = (lens.get(key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    r = np.hypot(x, y)
    if lens.get("fisheye"):
        theta = math.atan(r)
        bent = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
        return (x * bent / r, y * bent / r) if r > 1e-12 else (x, y)
    radial = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6 + k4 * r**8
    return (
        x * radial + 2 * p1 * x * y + p2 * (r * r + 2 * x * x),
        y * radial + p1 * (r * r + 2 * y * y) + 2 * p2 * x * y,
    )


def unbend(u: float, v: float, lens: dict) -> tuple[float, float]:
    """The point that `bend` takes to (u, v), by Newton's method with differences for derivatives."""
    x, y, h = u, v, 1e-6
    for _ in range(30):
        a, b = bend(x, y, lens)
        if abs(u - a) + abs(v - b) < 1e-13:
            break
        ax, bx = bend(x + h, y, lens)
        ay, by = bend(x, y + h, lens)
        jacobian = np.array([[ax - a, ay - a], [bx - b, by - b]]) / h
        step = np.linalg.solve(jacobian, [u - a, v - b])
        x, y = x + step[0], y + step[1]
    else:
        raise AssertionError("the lens folds its image")
    return x, y


def directions_of(axes: np.ndarray, lens: dict, height: int, width: int) -> np.ndarray:
    """Unit directions [row, column, 3] in the world, a pixel at a time."""
    result = np.zeros((height, width, 3))
    for row in range(height):
        for column in range(width):
            u, v = (column + 0.5 - lens["cx"]) / lens["fx"], (row + 0.5 - lens["cy"]) / lens["fy"]
            x, y = unbend(u, v, lens)
            direction = axes @ np.array([x, y, 1.0])
            result[row, column] = direction / np.linalg.norm(direction)
    return result


def centered_lens(size: int = SIZE) -> dict:
    return {"fx": FOCAL, "fy": FOCAL, "cx": size / 2, "cy": size / 2}


def shots(lens: dict | None = None, count: int = 5, height: int = SIZE, width: int = SIZE, jitter: float = 0.1) -> list[Shot]:
    """Photos of the panorama from around the point (1, -2, 0.5), none of which looks at it exactly."""
    rng, result = np.random.default_rng(3), []
    lens = lens or centered_lens()
    for number in range(count):
        angle, lift = 2.4 * number, rng.uniform(-0.1, 0.8)
        outward = np.array([math.cos(lift) * math.cos(angle), math.cos(lift) * math.sin(angle), math.sin(lift)])
        forward = -outward + jitter * rng.normal(size=3)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(forward, right), forward], axis=1)
        colors = color_seen(directions_of(axes, lens, height, width))
        result.append(Shot(np.array([1.0, -2.0, 0.5]) + 3 * outward, axes, np.round(colors * 255).astype(np.uint8)))
    return result


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_srn(folder: Path, scene: list[Shot], lens: dict | None = None) -> None:
    """The file's intrinsics are for images of twice the size."""
    lens, size = lens or centered_lens(), len(scene[0].pixels)
    for number, shot in enumerate(scene):
        save(folder / "rgb" / f"{number:06d}.png", shot.pixels)
        (folder / "pose").mkdir(exist_ok=True)
        (folder / "pose" / f"{number:06d}.txt").write_text(" ".join(repr(float(x)) for x in shot.camera_to_world.ravel()))
    (folder / "intrinsics.txt").write_text(
        f"{2 * lens['fx']} {2 * lens['cx']} {2 * lens['cy']} 0.\n0. 0. 0.\n1.\n{2 * size} {2 * size}\n"
    )


def write_blender(folder: Path, scene: list[Shot]) -> None:
    frames = [{"file_path": f"./train/r_{n}", "transform_matrix": shot.opengl.tolist()} for n, shot in enumerate(scene)]
    for number, shot in enumerate(scene):
        save(folder / "train" / f"r_{number}.png", shot.pixels)
    values = {"camera_angle_x": 2 * math.atan(SIZE / 2 / FOCAL), "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(values))


def write_learnit(root: Path, scene: list[Shot]) -> Path:
    folder = root / "chairs" / "03001627" / "abc"
    frames = [{"file_path": f"./renders/abc/r_{n}", "transform_matrix": s.opengl.tolist()} for n, s in enumerate(scene)]
    for number, shot in enumerate(scene):
        save(folder / f"r_{number}.png", shot.pixels)
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": 2 * math.atan(SIZE / 2 / FOCAL), "frames": frames}))
    (root / "chair_splits.json").write_text(json.dumps({"train": ["03001627/empty"], "val": [], "test": ["03001627/abc"]}))
    return folder


def write_nerfstudio(folder: Path, scene: list[Shot], lens: dict, per_frame: bool = False, **extra) -> None:
    names = {"fx": "fl_x", "fy": "fl_y"}
    height, width = scene[0].pixels.shape[:2]
    intrinsics = {names.get(key, key): value for key, value in lens.items() if key != "fisheye"} | {"w": width, "h": height}
    if lens.get("fisheye"):
        intrinsics["camera_model"] = "OPENCV_FISHEYE"
    frames = []
    for number, shot in enumerate(scene):
        save(folder / "images" / f"frame_{number:05d}.png", shot.pixels)
        frame = {"file_path": f"images/frame_{number:05d}.png", "transform_matrix": shot.opengl.tolist()}
        frames.append(frame | (intrinsics if per_frame else {}))
    values = {"ply_file_path": "sparse_pc.ply", "frames": frames, **extra} | ({} if per_frame else intrinsics)
    (folder / "transforms.json").write_text(json.dumps(values))


COLMAP = {
    "SIMPLE_PINHOLE": (0, ("fx", "cx", "cy")),
    "PINHOLE": (1, ("fx", "fy", "cx", "cy")),
    "SIMPLE_RADIAL": (2, ("fx", "cx", "cy", "k1")),
    "RADIAL": (3, ("fx", "cx", "cy", "k1", "k2")),
    "OPENCV": (4, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")),
    "OPENCV_FISHEYE": (5, ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")),
}


def write_colmap(folder: Path, scene: list[Shot], lens: dict, model: str, binary: bool) -> None:
    """Images are listed in reverse, with ids that have gaps and 2D points that nobody asked for."""
    number, keys = COLMAP[model]
    parameters = [lens.get(key, 0.0) for key in keys]
    height, width = scene[0].pixels.shape[:2]
    place = folder / "sparse" / "0"
    place.mkdir(parents=True, exist_ok=True)
    poses = []
    for index, shot in enumerate(scene):
        save(folder / "images" / f"photo {index}.png", shot.pixels)
        matrix = shot.world_to_camera
        x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat()
        poses.append((7 * index + 2, [w, x, y, z, *matrix[:3, 3]], f"photo {index}.png"))
    poses.reverse()
    if binary:
        cameras = struct.pack("<Q", 1) + struct.pack("<IiQQ", 4, number, width, height)
        (place / "cameras.bin").write_bytes(cameras + struct.pack(f"<{len(parameters)}d", *parameters))
        data = struct.pack("<Q", len(poses))
        for identity, values, name in poses:
            data += struct.pack("<I", identity) + struct.pack("<7d", *values) + struct.pack("<I", 4) + name.encode() + b"\0"
            data += struct.pack("<Q", 2) + struct.pack("<ddq", 1.5, 2.5, -1) + struct.pack("<ddq", 3.5, 4.5, 9)
        (place / "images.bin").write_bytes(data)
        return
    (place / "cameras.txt").write_text(f"# Camera list\n4 {model} {width} {height} {' '.join(map(repr, parameters))}\n")
    lines = ["# Image list with two lines of data per image:"]
    for place_in_list, (identity, values, name) in enumerate(poses):
        points = "1.5 2.5 -1 3.5 4.5 9" if place_in_list % 2 else ""
        lines += [f"{identity} {' '.join(repr(float(v)) for v in values)} 4 {name}", points]
    (place / "images.txt").write_text("\n".join(lines) + "\n")


def write_nmr(
    root: Path, scene: list[Shot], lens: dict, scale: float = 1.0, offset: tuple[float, float, float] = (0, 0, 0)
) -> Path:
    """The world is `scale` times the scene, moved by `offset`; scale_mat takes the scene there."""
    folder = root / "03001627" / "abc"
    height, width = scene[0].pixels.shape[:2]
    arrays = {}
    for number, shot in enumerate(scene):
        save(folder / "image" / f"{number:04d}.png", shot.pixels[..., :3])
        to_world = np.diag([scale, scale, scale, 1.0])
        to_world[:3, 3] = offset
        world = shot.world_to_camera.copy()
        world[:3, 3] = -shot.axes.T @ (to_world @ np.append(shot.position, 1.0))[:3]
        # a point at depth 1 that is seen at the image's right edge has x = 1
        intrinsic = np.eye(4)
        intrinsic[0, 0], intrinsic[0, 2] = lens["fx"] / (width / 2), (lens["cx"] - width / 2) / (width / 2)
        intrinsic[1, 1], intrinsic[1, 2] = lens["fy"] / (height / 2), (lens["cy"] - height / 2) / (height / 2)
        arrays |= {f"world_mat_{number}": world, f"camera_mat_{number}": intrinsic, f"scale_mat_{number}": to_world}
    np.savez(folder / "cameras.npz", **arrays)
    (root / "03001627" / "softras_test.lst").write_text("abc\n")
    return folder


def npz(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()
