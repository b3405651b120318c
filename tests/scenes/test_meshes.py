import json
import math

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from hypernerf.geometry import camera_rays, intersect_sphere
from hypernerf.types import RayBundle
from scenes import open_source
from scenes.detect import load_scene_folder
from scenes.mesh_file import load_mesh
from scenes.mesh_rendering import draw_views
from scenes.meshes import MeshesConfig, MeshesSource, base_name, divide_meshes
from scenes.orbits import surrounding_cameras
from scenes.source import SceneError
from tests.conftest import run_tool


def cameras(views=3, size=32):
    return surrounding_cameras(np.random.default_rng(0), views, size)


def test_a_sphere_is_drawn_where_it_is_with_exact_depth(tmp_path):
    trimesh.creation.icosphere(4, 3.0).export(tmp_path / "ball.ply")
    drawn = draw_views(load_mesh(tmp_path / "ball.ply"), cameras(), 3)
    rays = camera_rays(cameras())
    near, far = intersect_sphere(RayBundle(rays.origins, rays.directions), 0.95)
    inside = (far - near > 0.5).numpy()
    assert (drawn.coverage[inside] == 1).all() and (drawn.coverage[(far == near).numpy()] < 1).all()
    # the nearest of nine rays is nearer than the pixel's own
    gap = near.numpy()[inside] - drawn.depths[inside]
    assert gap.min() > -5e-3 and gap.max() < 0.15
    middle = (drawn.coverage > 0) & (drawn.coverage < 1)
    assert middle.any()  # anti-aliased


def test_node_transforms_textures_and_vertex_colors_are_seen(tmp_path):
    texture = np.zeros((2, 2, 3), dtype=np.uint8)
    texture[0], texture[1] = (0, 0, 255), (0, 255, 0)  # blue above green; v = 0 is the lower row
    quad = trimesh.Trimesh([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], [[0, 1, 2], [0, 2, 3]], process=False)
    quad.visual = trimesh.visual.TextureVisuals(
        uv=[[0, 0], [1, 0], [1, 1], [0, 1]],
        material=trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(texture)),
    )
    red = trimesh.creation.box((0.2, 0.2, 0.2))
    red.visual.vertex_colors = [255, 0, 0, 255]
    scene = trimesh.Scene([quad])
    scene.add_geometry(red, transform=trimesh.transformations.translation_matrix([0, 2, 0]))
    scene.export(tmp_path / "scene.glb")
    drawn = draw_views(load_mesh(tmp_path / "scene.glb", up="z"), cameras(6, 48), 2)
    colors = drawn.colors[drawn.coverage == 1]
    hues = np.eye(3)[colors.argmax(1)].mean(0)
    assert (hues > 0.01).all(), hues
    pure = np.sort(colors, axis=1)
    assert (pure[:, :2] < 1e-3).mean() > 0.9


@pytest.mark.parametrize(("component", "kind"), [(5121, np.uint8), (5123, np.uint16), (5126, np.float32)])
def test_vertex_colors_are_multiplied_with_the_materials(tmp_path, component, kind):
    corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], dtype=np.float32)
    most = 1 if kind is np.float32 else np.iinfo(kind).max
    colors = (np.array([[1.0, 0.4, 0.0, 1.0]] * 4) * most).astype(kind)  # of one part in which all four are alike
    blocks = [np.array([0, 1, 2, 0, 2, 3], dtype=np.uint16).tobytes(), corners.tobytes(), colors.tobytes()]
    starts = np.cumsum([0, *map(len, blocks)]).tolist()
    header = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"indices": 0, "attributes": {"POSITION": 1, "COLOR_0": 2}, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [0.5, 1.0, 1.0, 1.0]}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5123, "count": 6, "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 2, "componentType": component, "count": 4, "type": "VEC4", "normalized": most != 1},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": s, "byteLength": len(b)} for s, b in zip(starts, blocks, strict=False)
        ],
        "buffers": [{"byteLength": starts[-1], "uri": "parts.bin"}],
    }  # fmt: skip
    (tmp_path / "parts.bin").write_bytes(b"".join(blocks))
    (tmp_path / "quad.gltf").write_text(json.dumps(header))
    drawn = draw_views(load_mesh(tmp_path / "quad.gltf", up="z"), cameras(4, 24), 1)
    seen = drawn.colors[drawn.coverage == 1]
    assert len(seen) > 50
    encoded = 1.055 * 0.4 ** (1 / 2.4) - 0.055  # vertex colors are linear
    assert np.allclose(seen / seen[:, :1], [1.0, encoded / 0.5, 0.0], atol=0.02)  # 0.5 * 1, 1 * 0.4, 1 * 0, under any light


def test_up_is_turned_to_z(tmp_path):
    trimesh.creation.box((0.1, 2.0, 0.1)).export(tmp_path / "pole.obj")
    tall = load_mesh(tmp_path / "pole.obj", up="y").mesh
    assert np.ptp(tall.vertices, axis=0).argmax() == 2
    flat = load_mesh(tmp_path / "pole.obj", up="z").mesh
    assert np.ptp(flat.vertices, axis=0).argmax() == 1


def test_color_variants_stay_in_one_split():
    names = [f"pack/bed{n}_{c}" for n in range(20) for c in ("red", "blue", "green")] + ["pack/door"]
    parts = divide_meshes(names, 0.1, 0.2)
    bases = [{base_name(n) for n in parts[s]} for s in ("train", "val", "test")]
    assert not bases[0] & bases[1] and not bases[0] & bases[2] and not bases[1] & bases[2]
    assert sorted(sum(parts.values(), [])) == sorted(names) and 10 <= len(parts["test"]) <= 14
    assert base_name("a/Tile_Red") == "a/tile" and base_name("a/redwood") == "a/redwood"


@pytest.mark.parametrize("content", [b"", b"not a mesh", b"glTF\x02\x00\x00\x00\xff\xff\xff\xff"])
def test_files_that_are_no_meshes_are_named(tmp_path, content):
    (tmp_path / "bad.glb").write_bytes(content)
    with pytest.raises(SceneError, match=r"bad\.glb"):
        load_mesh(tmp_path / "bad.glb")


def test_the_source_draws_and_remembers(tmp_path):
    for number in range(4):
        trimesh.creation.box((1, 1 + number, 1)).export(tmp_path / f"box{number}.ply")
    config = MeshesConfig(name="meshes", root=str(tmp_path), size=16, views=4, cache=str(tmp_path / "cache"))
    source = open_source(config)
    (name,) = source.scene_ids("test")
    first, second = source.load(name), open_source(config).load(name)
    assert torch.equal(first.images, second.images) and first.masks.max() == 1
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 1


@pytest.mark.parametrize("layout", ["srn", "blender"])
def test_rendered_folders_are_read_back_as_the_same_scene(tmp_path, layout):
    for number in range(4):
        trimesh.creation.box((1, 1 + number, 1)).export(tmp_path / "in" / f"box{number}.ply") if number else (
            tmp_path / "in"
        ).mkdir()
    (tmp_path / "in" / "bad.obj").write_text("nonsense")
    out = tmp_path / "out" / "set"
    code, output, error = run_tool(
        "render_scenes", tmp_path / "in", out, "--size", 16, "--views", 4, "--format", layout, "--workers", 1, "--supersample", 2
    )
    assert code == 0, error
    assert "bad.obj" in output and "3 of 4 objects" in output
    root = out.parent if layout == "srn" else out
    folders = [p for split in root.iterdir() if split.is_dir() for p in split.iterdir()]
    assert len(folders) == 3
    views = load_scene_folder(folders[0], (1.0, 1.0, 1.0))
    assert len(views) == 4 and views.masks.mean() > 0.05
    assert views.cameras.positions.norm(dim=-1).mean().item() == pytest.approx(1 / math.sin(math.radians(22.5)), rel=1e-4)
    # the object's center is seen in the middle of each image
    axis = views.cameras.camera_to_world[:, :3, 2]
    toward = -torch.nn.functional.normalize(views.cameras.positions, dim=-1)
    assert torch.allclose(axis, toward, atol=1e-4)


@pytest.mark.parametrize("layout", ["srn", "blender"])
def test_a_pack_that_is_held_out_is_in_no_other_split(tmp_path, layout):
    for name in ("a/one", "a/two", "a/three", "b/four", "bc/five"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        trimesh.creation.box((1, 1, 1)).export(tmp_path / "in" / f"{name}.ply")
    options = ["--size", 8, "--views", 2, "--format", layout, "--workers", 1, "--supersample", 1]
    code, _, error = run_tool("render_scenes", tmp_path / "in", tmp_path / "out", *options, "--hold-out", "b")
    assert code == 0, error
    held = tmp_path / ("out-held-out_test" if layout == "srn" else "out-held-out/test")
    assert [p.name for p in held.iterdir()] == ["b__four"]
    drawn = [p.name for p in tmp_path.rglob("*__*") if p.is_dir()]
    assert sorted(drawn) == ["a__one", "a__three", "a__two", "b__four", "bc__five"]
    code, _, error = run_tool("render_scenes", tmp_path / "in", tmp_path / "out", *options, "--hold-out", "nothing")
    assert code == 2 and "nothing" in error


def test_what_was_drawn_otherwise_is_not_drawn_over(tmp_path):
    """Another seed divides the objects otherwise: one would end up in two splits."""
    (tmp_path / "in").mkdir()
    for number in range(6):
        trimesh.creation.box((1, 1 + number, 1)).export(tmp_path / "in" / f"box{number}.ply")
    trimesh.creation.box((3, 1, 1)).export(tmp_path / "in" / "box0.obj")
    options = ["--size", 8, "--views", 2, "--workers", 1, "--supersample", 1]
    code, output, error = run_tool("render_scenes", tmp_path / "in", tmp_path / "out", *options)
    assert code == 0 and "6 of 6" in output and "box0.ply" in output + error  # box0.obj comes first
    assert run_tool("render_scenes", tmp_path / "in", tmp_path / "out", *options)[0] == 0  # as after an interruption
    code, _, error = run_tool("render_scenes", tmp_path / "in", tmp_path / "out", *options, "--seed", 1)
    assert code == 2 and "another seed" in error and "out_render_scenes.json" in error
    (tmp_path / "out_render_scenes.json").write_text("[1]")
    assert "not what" in run_tool("render_scenes", tmp_path / "in", tmp_path / "out", *options)[2]
    (tmp_path / "out_render_scenes.json").unlink()
    assert "holds scenes already" in run_tool("render_scenes", tmp_path / "in", tmp_path / "out", *options)[2]


def test_drawn_views_belong_to_their_cameras_whatever_the_root(tmp_path):
    """Cameras are of a scene's name, which begins at the root; the cache must not mix them up."""
    (tmp_path / "in" / "pack").mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "in" / "pack" / "box.ply")
    facts = {"name": "meshes", "size": 16, "views": 4, "cache": str(tmp_path / "cache")}
    found = []
    for root in ("in", "in/pack"):
        source = MeshesSource(MeshesConfig(root=str(tmp_path / root), **facts))
        (name,) = [n for split in ("train", "val", "test") for n in source.scene_ids(split)]
        found.append((source, name, source.load(name)))
    fresh = MeshesSource(MeshesConfig(root=str(tmp_path / "in/pack"), **{**facts, "cache": str(tmp_path / "other")}))
    assert torch.equal(found[1][2].images, fresh.load("box").images)
    assert not torch.equal(found[0][2].images, found[1][2].images)


def test_a_texture_that_is_painted_over_is_seen(tmp_path, caplog):
    """Though the mesh file, which names it, is as it was."""
    (tmp_path / "in").mkdir()
    quad = "".join(f"v {x} {y} 0\n" for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
    (tmp_path / "in" / "quad.obj").write_text(f"mtllib quad.mtl\n{quad}vt 0 0\nusemtl m\nf 1/1 2/1 3/1\nf 1/1 3/1 4/1\n")
    (tmp_path / "in" / "quad.mtl").write_text("newmtl m\nKd 1 1 1\nmap_Kd .\\\\paint.png\n")  # as written on Windows
    source = MeshesSource(MeshesConfig(root=str(tmp_path / "in"), size=16, views=4, cache=str(tmp_path / "cache")))
    for channel in (0, 2, 2):
        paint = Image.fromarray(np.full((2 + channel, 2, 3), 255 * np.eye(3)[channel], np.uint8))
        paint.save(tmp_path / "in" / "paint.png")
        scene = source.load("quad")
        assert scene.images[scene.masks == 1].mean(0).argmax() == channel
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 3  # its time has changed too
    again = source.load("quad")
    assert torch.equal(again.images, scene.images) and len(list((tmp_path / "cache").rglob("*.npy"))) == 3
    (tmp_path / "in" / "paint.png").unlink()
    with caplog.at_level("WARNING", "hypernerf"):
        assert source.load("quad").images[scene.masks == 1].std(-1).max() < 0.01  # gray
    assert "quad.obj: drawn without" in caplog.text and "paint.png" in caplog.text
