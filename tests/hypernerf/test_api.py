"""What a program gets from `import hypernerf`: lazily, the same as the commands, and checked by mypy."""

import ast
import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

import hypernerf
from hypernerf.cli.commands import call, find_command
from hypernerf.geometry import normalize_cameras
from hypernerf.rendering import RenderSettings, render_views
from hypernerf.training import context_views, normalized, store_scene
from hypernerf.types import InputError

INIT = Path(hypernerf.__file__)
pytestmark = pytest.mark.usefixtures("_one_thread")


def test_importing_costs_nothing_until_a_name_is_asked_for():
    code = (
        "import sys, hypernerf; assert hypernerf.__all__ and dir(hypernerf); print({'torch', 'numpy', 'rich'} & set(sys.modules))"
        "; hypernerf.SceneViews; print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=INIT.parent.parent).stdout
    assert output.split() == ["set()", "True"]


def test_every_name_is_what_its_module_has():
    for module, names in hypernerf._PLACES.items():
        for name in names:
            assert getattr(hypernerf, name) is getattr(import_module(f"hypernerf.{module}"), name)
    assert sorted(hypernerf._MODULE_OF) == hypernerf.__all__ and set(hypernerf.__all__) <= set(dir(hypernerf))
    with pytest.raises(AttributeError, match="reconstruct_sceen"):
        hypernerf.reconstruct_sceen  # noqa: B018


def test_type_checkers_are_told_the_same():
    guarded = next(node for node in ast.parse(INIT.read_text()).body if isinstance(node, ast.If))
    told = {node.module: tuple(alias.name for alias in node.names) for node in guarded.body if isinstance(node, ast.ImportFrom)}
    assert told == hypernerf._PLACES


@pytest.fixture(scope="module")
def run(tiny_run):
    return hypernerf.load_run(tiny_run)


def test_a_folder_becomes_the_field_that_the_model_gives_of_its_images(run, photos):
    views = hypernerf.open_scene(run, photos, views=[0, 4, 8])
    assert views.images.shape == (3, 16, 16, 3) and views.scene_id == "my_chair"
    everything = hypernerf.open_scene(run, photos)
    assert len(everything) == 12 and torch.equal(everything.images[[0, 4, 8]], views.images)
    field = hypernerf.reconstruct_scene(run, views)
    with torch.no_grad():
        expected = run.generator(context_views(normalized([store_scene(views)], run.transform), range(3))).rounded()
    assert field.name == "my_chair" and field.transform == run.transform
    for name, value in expected.tensors.items():
        assert torch.equal(field.weights.tensors[name], value)


def test_a_scene_of_the_runs_own_source_is_opened_by_its_name(run):
    assert len(hypernerf.open_scene(run, "test-chairs-00003")) == 6
    with pytest.raises(InputError, match="no such folder, and no scene"):
        hypernerf.open_scene(run, "test-chairs-00009")
    with pytest.raises(InputError, match="has views 0 to 5"):
        hypernerf.open_scene(run, "test-chairs-00003", [6])


def test_adaptation_changes_the_field_only_if_that_helps(run, photos):
    views = hypernerf.open_scene(run, photos, [0, 3, 6, 9])
    plain, adapted = hypernerf.reconstruct_scene(run, views), hypernerf.reconstruct_scene(run, views, adapt_steps=8, name="x")
    cameras = views.cameras
    error = [float((hypernerf.render_scene(f, cameras).color - views.images).square().mean()) for f in (plain, adapted)]
    assert adapted.name == "x" and error[1] < error[0]
    with pytest.raises(InputError, match="at least 0"):
        hypernerf.reconstruct_scene(run, views, adapt_steps=-1)


def test_reconstruct_names_the_trap_that_is_stepped_into_and_its_mend(tiny_run, photos, tmp_path, capsys):
    """Poses with OpenCV's axes in a file that has OpenGL's: nothing fails, and nothing comes out."""
    shutil.copytree(photos, tmp_path / "flipped")
    path = tmp_path / "flipped" / "transforms.json"
    facts = json.loads(path.read_text())
    for frame in facts["frames"]:
        frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])).tolist()
    path.write_text(json.dumps(facts))
    command, output = find_command("reconstruct"), tmp_path / "x.field.safetensors"
    assert command is not None
    arguments = [str(tiny_run), "--scene", str(path.parent), "--views", "0", "4", "-o", str(output)]
    call(command, [*arguments, "--json", str(tmp_path / "x.json")])
    said = capsys.readouterr().out
    assert "silhouettes do not meet" in said and "mend: --source.flip_axes true" in said and output.is_file()
    facts = json.loads((tmp_path / "x.json").read_text())
    assert facts["views"] == 2 and facts["bytes"] == output.stat().st_size and facts["adaptation"] is None
    with pytest.raises(InputError, match=r"nothing but the background: .*--source\.flip_axes true"):
        call(command, [*arguments, "--source.square", "frame"])
    call(command, [*arguments, "--source.flip_axes", "true"])
    assert "trap" not in capsys.readouterr().out


def test_an_orbit_is_in_the_users_own_units(scene_field):
    """The ball of the fixture has its scene sphere at (1, 2, 3), radius 2."""
    cameras = hypernerf.scene_orbit(scene_field, 5, (20, 30), elevation_degrees=30.0)
    offset = cameras.positions - torch.tensor([1.0, 2.0, 3.0])
    assert (cameras.height, cameras.width, len(cameras)) == (20, 30, 5)
    assert torch.allclose(offset.norm(dim=-1), torch.full((5,), 2 * scene_field.camera_distance))
    assert torch.allclose(offset[:, 2], torch.full((5,), scene_field.camera_distance))  # sin 30 degrees of it
    axes = cameras.camera_to_world[:, :3, 2]
    assert torch.allclose(axes, -offset / offset.norm(dim=-1, keepdim=True), atol=1e-5)
    settings = RenderSettings(samples=16)
    seen = hypernerf.render_scene(scene_field, cameras, settings)
    inside = normalize_cameras(cameras, scene_field.transform)
    assert torch.equal(seen.color, render_views(scene_field.weights, inside, torch.ones(3), settings).color)
    assert 0.05 < float(seen.opacity.mean()) < 0.5


def test_a_mesh_file_holds_what_it_is_said_to_hold(scene_field, tmp_path):
    placed = hypernerf.MeshSettings(resolution=24, placement=hypernerf.Placement(origin="center", scale=10.0))
    written = hypernerf.write_mesh(tmp_path / "ball.ply", scene_field, placed)
    mesh = trimesh.load_mesh(tmp_path / "ball.ply", process=False)
    assert (len(mesh.vertices), len(mesh.faces)) == (written.vertices, written.faces)
    assert np.abs(mesh.bounds.sum(0)).max() < 0.5 and mesh.extents == pytest.approx([20, 20, 20], rel=0.15)  # radius 0.5 * 2 * 10
    textured = hypernerf.MeshSettings(resolution=24, triangles=300, texture=True, texture_size=32)
    written = hypernerf.write_mesh(tmp_path / "ball.glb", scene_field, textured)
    picture = trimesh.load(tmp_path / "ball.glb", force="mesh").visual.material.baseColorTexture
    assert written.faces <= 300 and picture.size == (32, 32)


def test_a_checked_mesh_is_reported_for_programs(scene_field, tmp_path):
    hypernerf.save_scene_file(tmp_path / "ball.field.safetensors", scene_field)
    command, report = find_command("export_mesh"), tmp_path / "report.json"
    assert command is not None
    arguments = [str(tmp_path / "ball.field.safetensors"), "-o", str(tmp_path / "ball.glb"), "--resolution", "24"]
    call(command, [*arguments, "--check", "--json", str(report)])
    found = json.loads(report.read_text())
    assert found["faces"] == len(trimesh.load(tmp_path / "ball.glb", force="mesh").faces) and found["check"]["views"] == 8
    assert len(found["check"]["psnr"]) == 8 and min(found["check"]["psnr"]) > 15
    call(command, [*arguments, "--json", str(report)])
    assert json.loads(report.read_text())["check"] is None


WRONG = {
    "another format": ("m.stl", {}, "unknown mesh format"),
    "a format without texture": ("m.ply", {"texture": True}, "with a texture"),
    "nothing as dense": ("m.ply", {"level": 1e9}, "nothing to mesh"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mesh_that_cannot_be_written_leaves_no_file(scene_field, tmp_path, case):
    name, settings, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        hypernerf.write_mesh(tmp_path / name, scene_field, hypernerf.MeshSettings(resolution=8, **settings))
    assert list(tmp_path.iterdir()) == []
