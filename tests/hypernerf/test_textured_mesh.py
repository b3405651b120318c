import dataclasses
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from hypernerf.cli.export_mesh import main as export_mesh
from hypernerf.export import Placement, decimated, extract_mesh, mesh_psnr, moved, save_textured_mesh, texture_mesh
from hypernerf.export.unwrap import Unwrapped, covered_texels
from hypernerf.fields import FieldWeights, SceneField, save_scene_file
from hypernerf.geometry import orbit_cameras
from hypernerf.rendering import RenderSettings
from hypernerf.types import InputError, SceneTransform
from tests.conftest import ball, run_tool

TINT, CONSTANT = 2.0, np.array([0.5, -1.0, 0.2])
CENTER, RADIUS = np.array([1.0, 2.0, 3.0]), 2.0


def tinted_ball() -> tuple[SceneField, np.ndarray]:
    """A ball whose color is sigmoid(CONSTANT + TINT (d . x)), and d; relu(d . x) - relu(-d . x) = d . x."""
    weights = ball(density=800.0)
    tensors = {name: value.clone() for name, value in weights.tensors.items()}
    tensors["layer_1"][0, 1:, 0] = torch.from_numpy(CONSTANT)
    tensors["layer_1"][0, 1:, 1], tensors["layer_1"][0, 1:, 65] = TINT, -TINT
    field = FieldWeights(weights.spec, tensors).rounded()
    return SceneField("ball", field, SceneTransform(tuple(CENTER), RADIUS)), field.tensors["layer_0"][0, 1, :3].numpy()


@pytest.fixture(scope="module")
def baked():
    pytest.importorskip("xatlas")
    pytest.importorskip("fast_simplification")
    scene, direction = tinted_ball()
    mesh = decimated(scene, extract_mesh(scene, 32), 800)
    return scene, direction, mesh, texture_mesh(scene, mesh, 96)


def expected_colors(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(CONSTANT + TINT * (points @ direction)[:, None])))


def test_a_decimated_mesh_is_as_small_as_asked_and_still_closed(baked):
    scene, direction, mesh, _ = baked
    full = extract_mesh(scene, 32)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert len(full.faces) > 800 >= len(mesh.faces) and solid.is_watertight
    assert cKDTree(full.vertices).query(mesh.vertices)[0].max() < 2 * RADIUS / 32  # a cell
    assert solid.volume == pytest.approx(trimesh.Trimesh(full.vertices, full.faces).volume, rel=0.02)
    assert np.abs(mesh.colors - expected_colors((mesh.vertices - CENTER) / RADIUS, direction)).max() < 0.01


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_a_texture_shows_the_fields_colors_where_they_are(baked, tmp_path, suffix):
    scene, direction, mesh, textured = baked
    placement = Placement(up="y", scale=10.0, origin="base").matrix(mesh.vertices, scene.up)
    path = tmp_path / f"a ball{suffix}"
    save_textured_mesh(path, moved(textured, placement))
    loaded = trimesh.load_mesh(path, process=False)
    assert loaded.bounds[0, 1] == pytest.approx(0, abs=1e-4) and loaded.bounds[1, 1] == pytest.approx(20, rel=0.15)
    outwards = loaded.vertices - loaded.bounds.mean(0)
    assert ((outwards * loaded.vertex_normals).sum(1) > 0).all()
    # nearest texel at each triangle's middle against the formula at its place on the sphere
    image = loaded.visual.material.baseColorTexture if suffix == ".glb" else loaded.visual.material.image
    pixels = np.asarray(image.convert("RGB")) / 255
    u, v = loaded.visual.uv[loaded.faces].mean(1).T
    seen = pixels[((1 - v) * len(pixels)).astype(int), (u * pixels.shape[1]).astype(int)]
    middles = loaded.triangles_center @ np.linalg.inv(placement)[:3, :3].T + np.linalg.inv(placement)[:3, 3]
    expected = expected_colors((middles - CENTER) / RADIUS, direction)
    assert np.abs(seen - expected).mean() < 0.02 and np.quantile(np.abs(seen - expected), 0.99) < 0.08


def test_the_check_sees_a_good_mesh_and_a_wrong_texture(baked, tmp_path):
    scene, _, mesh, textured = baked
    cameras = orbit_cameras(
        4, distance=5.2, elevation_degrees=25, size=(40, 40), field_of_view_degrees=45, up=torch.tensor([0.0, 0, 1]),
        target=torch.tensor(CENTER).float(),
    )  # fmt: skip
    placement = Placement(up="x", origin=(1.0, 0.0, 0.0)).matrix(mesh.vertices, scene.up)
    values = {}
    for name, texture in (("good", textured.texture), ("wrong", 255 - textured.texture)):
        path = tmp_path / f"{name}.glb"
        save_textured_mesh(path, moved(dataclasses.replace(textured, texture=texture), placement))
        values[name] = mesh_psnr(path, scene, cameras, placement, RenderSettings(samples=48, grid=32))
    assert values["good"].min() > 24 and values["wrong"].mean() < values["good"].mean() - 5


def test_the_glb_passes_khronos_validator(baked, tmp_path):
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", "require('gltf-validator')"], capture_output=True, check=False).returncode:
        pytest.skip("needs node and the npm package gltf-validator on NODE_PATH")
    path = tmp_path / "ball.glb"
    save_textured_mesh(path, baked[3])
    code = (
        "const v = require('gltf-validator'), fs = require('fs');"
        "v.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1]))).then(r => console.log(JSON.stringify(r)))"
    )
    report = json.loads(subprocess.run([node, "-e", code, path], capture_output=True, text=True, check=True).stdout)
    issues = report["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues["messages"]
    assert report["info"]["materialCount"] == 1 and report["info"]["totalTriangleCount"] == len(baked[2].faces)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.02, 0.98), min_size=6, max_size=6))
def test_covered_texels_are_those_a_slow_loop_finds(numbers):
    size, uvs = 11, np.array(numbers, dtype=np.float32).reshape(3, 2)
    texels = covered_texels(Unwrapped(np.arange(3), np.array([[0, 1, 2]]), uvs), size)
    found = {(row, column): weights for row, column, weights in zip(texels.rows, texels.columns, texels.weights, strict=True)}
    system = np.vstack([uvs.T.astype(np.float64), np.ones(3)])
    if abs(np.linalg.det(system)) < 1e-4:
        return
    for row in range(size):
        for column in range(size):
            weights = np.linalg.solve(system, [(column + 0.5) / size, 1 - (row + 0.5) / size, 1.0])
            if weights.min() > 1e-6:
                np.testing.assert_allclose(found[row, column], weights, atol=1e-4)
            elif weights.min() < -1e-6:
                assert (row, column) not in found


@pytest.mark.parametrize("up", ["x", "y", "z"])
@pytest.mark.parametrize("scene_up", [(0, 0, 1), (0, 1, 0), (0, 0, -1), (0.6, 0, 0.8)])
def test_a_placement_turns_up_onto_up_and_keeps_shapes(up, scene_up):
    points = np.random.default_rng(0).normal(size=(20, 3))
    matrix = Placement(up=up, scale=3.0, origin="base").matrix(points, scene_up)
    placed = points @ matrix[:3, :3].T + matrix[:3, 3]
    axis = "xyz".index(up)
    np.testing.assert_allclose(placed[:, axis], 3 * (points @ scene_up - (points @ scene_up).min()), atol=1e-9)
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(placed[:, None] - placed, axis=-1), 3 * distances, atol=1e-9)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(27)


def test_from_z_up_to_y_up_is_what_everyone_expects():
    matrix = Placement(up="y", origin=(1, 1, 1)).matrix(np.zeros((1, 3)), (0, 0, 1))
    np.testing.assert_allclose(matrix @ [2, 3, 4, 1], [1, 3, -2, 1], atol=1e-12)
    with pytest.raises(InputError, match="--scale"):
        Placement(scale=0)


def test_the_command_textures_places_and_checks(tmp_path, random_field):
    pytest.importorskip("xatlas")
    pytest.importorskip("fast_simplification")
    scene = tmp_path / "ball.field.safetensors"
    save_scene_file(scene, SceneField("fog", random_field))
    code, output, error = run_tool(
        "export_mesh", scene, "-o", tmp_path / "b.obj", "--texture", "--texture-size", 64, "--resolution", 24,
        "--level", 0.5, "--triangles", 800, "--up", "y", "--origin", 0, 0, 1, "--check",
    )  # fmt: skip
    assert code == 0, error
    assert "against the field" in output and {p.suffix for p in tmp_path.glob("b.*")} == {".obj", ".mtl", ".png"}
    for wrong, message in ((["--origin", "here"], "--origin"), (["--texture", "-o", str(tmp_path / "b.ply")], r"\.ply")):
        with pytest.raises(InputError, match=message):
            export_mesh([str(scene), "-o", str(tmp_path / "c.obj"), *wrong])
        assert not (tmp_path / "c.obj").exists()
