"""Scenes that lie: each is refused by an error that names the file, before it fills memory or is read outside of its folder."""

import base64
import io
import json
import math
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from hypernerf.types import Cameras, InputError
from scenes import open_source
from scenes.blender import load_blender_scene
from scenes.cache import cached_pixels, save_pixels
from scenes.camera_path import read_camera_path
from scenes.images import read_image
from scenes.loading import load_split
from scenes.mesh_file import load_mesh
from scenes.meshes import MeshesConfig
from scenes.png import ADAM7, lacks_pixels
from scenes.source import Reading, SceneError, check_cameras
from scenes.srn import SrnConfig, load_srn_scene
from tests.scenes.test_folders import OPENGL, POSE, WHITE, blender_scene, picture, srn_scene


def png(width, height, data, depth=8, color=6, interlaced=0):
    """A file of right checksums, whatever it claims."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def refused(path, match, read):
    """Refused with the file named, and with less than 20 MB taken meanwhile (of what Python knows)."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=match) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(8, 9, bytes(8 * 33)), "fewer pixels"),
        (png(9, 8, bytes(8 * 33)), "fewer pixels"),
        (png(2**31 - 1, 2**31 - 1, b""), "pixels|image"),
        (png(100_000, 100_000, bytes(10**7)), "pixels"),  # a decompression bomb
        (png(0, 8, b""), "image"),
        (png(8, 8, bytes(range(256)) + bytes(8))[:90], "image|pixels"),
        (png(8, 8, bytes(8 * 33))[:45] + b"\0" * 40, "image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n", "not an image in one of"),  # starts an interpreter
        (b"P6 8 8 255\n" + bytes(192), "not an image in one of"),
        (b"", "image"),
    ],
)
def test_images_that_lie_are_named(tmp_path, data, message):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    refused(path, message, lambda: read_image(path, WHITE))


def test_truncated_images_of_all_formats_are_named(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "webp"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(pixels).save(path)
        assert read_image(path, WHITE)[0].shape == (32, 32, 3)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        refused(path, "read as an image|fewer pixels", lambda path=path: read_image(path, WHITE))


KINDS = [(1, 0, 1), (2, 0, 1), (16, 0, 1), (8, 2, 3), (4, 3, 1), (16, 4, 2), (8, 6, 4)]


@pytest.mark.parametrize(("depth", "color", "samples"), KINDS)
@pytest.mark.parametrize("interlaced", [0, 1])
def test_the_length_of_a_png_is_what_its_pixels_add_up_to(depth, color, samples, interlaced):
    for width, height in ((1, 1), (3, 9), (8, 8), (17, 5)):
        pass_of = np.full((height, width), -1)  # pixel by pixel, as the format's own figure of an 8x8 block shows it
        for number, (column, row, columns, rows) in enumerate(ADAM7 if interlaced else [(0, 0, 1, 1)]):
            pass_of[row::rows, column::columns] = number
        assert (pass_of >= 0).all()
        needed = 0
        for number in range(7):
            for row in (pass_of == number).sum(1):
                needed += math.ceil(row * depth * samples / 8) + 1 if row else 0
        assert not lacks_pixels(io.BytesIO(png(width, height, bytes(needed), depth, color, interlaced)))
        assert lacks_pixels(io.BytesIO(png(width, height, bytes(needed - 1), depth, color, interlaced)))


CAMERA = {"pose": POSE, "intrinsics": [10.0, 10.0, 4.0, 4.0]}


@pytest.mark.parametrize(
    "change",
    [
        {"intrinsics": [0.0, 10, 4, 4]}, {"intrinsics": [10, -10, 4, 4]}, {"intrinsics": [math.inf, 10, 4, 4]},
        {"intrinsics": [10, 10, math.nan, 4]}, {"intrinsics": [1e-6, 10, 4, 4]}, {"intrinsics": [1e7, 10, 4, 4]},
        {"intrinsics": [10, 10, 4, 1e9]}, {"pose": np.zeros((4, 4))}, {"pose": np.full((4, 4), np.nan)},
        {"pose": np.diag([1, 1, -1, 1])}, {"pose": np.diag([1, 1, 0, 1])}, {"pose": [[1, 0, 0, 1e30], *POSE[1:]]},
        {"pose": [*POSE[:3], [0, 0, 1, 1]]},
    ],
)  # fmt: skip
def test_cameras_that_are_none_are_named(change):
    def camera(facts):
        pose, intrinsics = (torch.tensor(np.array(facts[key]), dtype=torch.float32) for key in ("pose", "intrinsics"))
        return Cameras(pose.expand(2, 4, 4).contiguous(), intrinsics.expand(2, 4), 8, 8)

    check_cameras("mine", camera(CAMERA))
    with pytest.raises(SceneError, match=r"^mine: "):
        check_cameras("mine", camera(CAMERA | change))


HUGE = (math.nan, math.inf, 1e39, 1e300, 10**400, -1, None, [], {})


@pytest.mark.parametrize("key", ["fl_x", "w", "h", "camera_angle_x", "pose"])
@pytest.mark.parametrize("value", HUGE, ids=lambda value: str(value)[:8])
def test_absurd_values_in_transforms_are_named(tmp_path, key, value):
    whole = {"camera_angle_x": 0.6, "w": 8, "h": 8, "frames": [{"file_path": "r", "transform_matrix": [list(r) for r in OPENGL]}]}
    if key == "pose":
        whole["frames"][0]["transform_matrix"][0][0 if value == -1 else 3] = value
    else:
        whole[key] = value
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(whole))
    picture(tmp_path / "r.png")
    refused(path, ".", lambda: read_camera_path(path))
    if key not in ("w", "h"):  # which an angle of view does without
        refused(path, ".", lambda: check_cameras(str(path), load_blender_scene(tmp_path, WHITE).cameras))


@pytest.mark.parametrize("target", ["../outside.png", "/etc/hostname", "/dev/zero", ".."])
def test_links_of_a_scene_do_not_lead_out_of_it(tmp_path, target):
    picture(tmp_path / "outside.png")
    for name, make, image, load in (
        ("srn", srn_scene, "rgb/000001.png", load_srn_scene),
        ("blender", blender_scene, "images/r_1.png", load_blender_scene),
    ):
        folder = tmp_path / name
        make(folder)
        path = folder / image
        assert load(folder, WHITE).images.shape[0] == 5
        path.unlink()
        path.symlink_to("../../outside.png" if target == "../outside.png" else target)
        message = "leaves the folder|not a regular file|no such image"
        refused(folder, message, lambda folder=folder, load=load: load(folder, WHITE))
    if target == "../outside.png":
        assert len(load_srn_scene(tmp_path / "srn", WHITE, Reading(follow_links=True))) == 5


def test_a_linked_scene_is_left_out_unless_links_are_followed(tmp_path):
    srn_scene(tmp_path / "elsewhere" / "b")
    for name in ("x_train/a", "x_val/c"):
        srn_scene(tmp_path / name)
    (tmp_path / "x_train" / "b").symlink_to(tmp_path / "elsewhere" / "b")
    for follow, expected in ((False, ["train/a"]), (True, ["train/a", "train/b"])):
        problems: list[str] = []
        config = SrnConfig(name="srn", root=str(tmp_path / "x"), follow_links=follow)
        found = [views.scene_id for views in load_split(open_source(config), config, "train", on_problem=problems.append)]
        assert found == expected and len(problems) == 2 - len(expected)
        assert all("x_train" in problem and "source.follow_links" in problem for problem in problems)


def test_names_that_no_file_can_have_are_named(tmp_path):
    blender_scene(tmp_path)
    path = tmp_path / "transforms.json"
    for name in ("\0", "x" * 300, "y/" * 3000, "\ud800", "../x", "images/../../x", "images"):
        frame = {"file_path": name, "transform_matrix": OPENGL}
        path.write_text(json.dumps({"camera_angle_x": 0.6, "frames": [frame]}))
        refused(path if name != "images" else tmp_path / "images", ".", lambda: load_blender_scene(tmp_path, WHITE))


def test_the_cache_takes_what_it_wrote_and_nothing_else(tmp_path):
    path, pixels = tmp_path / "a.npy", np.arange(2 * 3 * 3 * 4, dtype=np.uint8).reshape(2, 3, 3, 4)
    assert cached_pixels(path, pixels.shape) is None
    save_pixels(path, pixels)
    np.testing.assert_array_equal(np.load(path), pixels)
    np.testing.assert_array_equal(cached_pixels(path, pixels.shape), pixels)
    good = path.read_bytes()
    for bad in (good[:-1], good + b"x", good.replace(b"|u1", b"|i1"), good.replace(b"(2, 3", b"(3, 2"), b"", good[:50]):
        path.write_bytes(bad)
        assert cached_pixels(path, pixels.shape) is None
    assert cached_pixels(path, (10**6, 10**6, 10**6, 4)) is None
    os.truncate(path, 1 << 40)
    assert cached_pixels(path, pixels.shape) is None


def _gltf(path, **changes):
    """A triangle whose corners the file has not: an accessor without data is all zeros."""
    path.write_text(json.dumps({
        "asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "buffers": [{"byteLength": 3, "uri": "data:application/octet-stream;base64,AAAA"}],
        "bufferViews": [{"buffer": 0, "byteLength": 3}], "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"componentType": 5126, "type": "VEC3", "count": 3}], **changes,
    }))  # fmt: skip


def test_meshes_that_claim_what_they_have_not_are_named(tmp_path):
    path = tmp_path / "a.gltf"
    _gltf(path)
    refused(path, "all in one place", lambda: load_mesh(path))
    for count in (10**9, 2**62, -1, 1e9, "3"):
        _gltf(path, accessors=[{"componentType": 5126, "type": "VEC3", "count": count}])
        refused(path, "accessors claim more", lambda: load_mesh(path))
    many = [{"componentType": 5126, "type": "VEC3", "count": 3 * 10**5}]
    _gltf(path, accessors=many, scenes=[{"nodes": list(range(1000))}], nodes=[{"mesh": 0}] * 1000)
    with pytest.raises(SceneError, match=r"a\.gltf.*placed"):
        load_mesh(path)
    _gltf(path, nodes=[{"mesh": 0, "children": [0]}])
    refused(path, ".", lambda: load_mesh(path))
    corners = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]).tobytes()
    for last in (2, 3, 65535):
        data = base64.b64encode(corners + np.uint16([0, 1, last]).tobytes()).decode()
        _gltf(path, buffers=[{"byteLength": 42, "uri": f"data:application/octet-stream;base64,{data}"}], bufferViews=[
            {"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 6}], accessors=[
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3},
            {"bufferView": 1, "componentType": 5123, "type": "SCALAR", "count": 3}],
            meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}])  # fmt: skip
        if last == 2:
            assert len(load_mesh(path).mesh.faces) == 1
        else:
            refused(path, "corners that are not there", lambda: load_mesh(path))
    path.write_text("[" * 10**5)
    refused(path, "nested", lambda: load_mesh(path))
    path = tmp_path / "a.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 1000000000\n"
    )
    refused(path, "cannot be read as a mesh", lambda: load_mesh(path))


def _textured(folder, texture):
    """A box that names `texture`."""
    box = trimesh.creation.box()
    material = trimesh.visual.material.SimpleMaterial(image=Image.new("RGB", (4, 4), "red"))
    box.visual = trimesh.visual.TextureVisuals(uv=np.zeros((len(box.vertices), 2)), material=material)
    folder.mkdir(parents=True, exist_ok=True)
    box.export(folder / "box.obj")
    text = (folder / "material.mtl").read_text()
    (folder / "material.mtl").write_text(text.replace("material_0.png", texture))
    return folder / "box.obj"


def test_textures_lie_in_the_folder_and_are_images(tmp_path):
    picture(tmp_path / "shared" / "t.png")
    mesh = _textured(tmp_path / "pack", "../shared/t.png")
    refused(mesh, "leaves the folder", lambda: load_mesh(mesh))
    assert load_mesh(mesh, within=tmp_path).surfaces[0].texture.shape == (8, 8, 3)
    (mesh.parent / "t.png").symlink_to("/etc/hostname")
    (mesh.parent / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    (mesh.parent / "bomb.png").write_bytes(png(100_000, 100_000, bytes(10**6)))
    (mesh.parent / "short.png").write_bytes(png(8, 100, bytes(100)))
    for texture, message in (
        ("t.png", "leaves"), ("eps.png", "cannot be read as PNG"), ("bomb.png", "texture"), ("short.png", "fewer pixels"),
    ):  # fmt: skip
        mesh = _textured(tmp_path / "pack", texture)
        refused(mesh, message, lambda mesh=mesh: load_mesh(mesh))
    assert Image.open(tmp_path / "shared" / "t.png").format == "PNG"  # nothing is left changed
    Image.new("RGB", (2, 2)).save(tmp_path / "a.bmp")
    assert Image.open(tmp_path / "a.bmp").format == "BMP"


def test_a_linked_mesh_is_not_read_unless_links_are_followed(tmp_path):
    (tmp_path / "pack").mkdir()
    trimesh.creation.box().export(tmp_path / "outside.ply")
    for number in range(3):
        trimesh.creation.box((1, 1, 1 + number)).export(tmp_path / "pack" / f"{number}.ply")
    (tmp_path / "pack" / "link.ply").symlink_to(tmp_path / "outside.ply")
    for follow in (False, True):
        folder, cache = str(tmp_path / "pack"), str(tmp_path / "cache")
        config = MeshesConfig(name="meshes", root=folder, views=1, size=4, cache=cache, follow_links=follow)
        if follow:
            assert open_source(config).load("link").masks.max() == 1
        else:
            refused(tmp_path / "pack" / "link.ply", "leaves the folder", lambda config=config: open_source(config).load("link"))
