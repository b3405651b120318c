"""Each trap is set by hand, and found with the flag that mends it; scenes without one are left in peace."""

import json

import numpy as np
import pytest
import torch

from hypernerf.cli.check_scenes import main
from hypernerf.export.camera_sheet import sphere_outline
from hypernerf.geometry import camera_rays, intersect_sphere, project
from hypernerf.types import RayBundle, SceneTransform
from scenes.detect import load_scene_folder
from scenes.source import Reading
from tests.scenes import physical

CENTER, RADIUS = np.array([1.0, -2.0, 0.5]), 0.6
FAR = {"fx": 60.0, "fy": 60.0, "cx": 24.0, "cy": 24.0}
SIZE = 48


def ball_shots(lens=FAR, count=6, height=SIZE, width=SIZE, center=CENTER, alpha=True):
    """Photos around `CENTER` of a gray ball, through a lens without distortion."""
    scene = physical.shots(physical.centered_lens(), count, jitter=0.0)
    row, column = np.mgrid[:height, :width] + 0.5
    local = np.stack([(column - lens["cx"]) / lens["fx"], (row - lens["cy"]) / lens["fy"], np.ones_like(row)], -1)
    result = []
    for shot in scene:
        rays = local @ shot.axes.T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        toward = center - shot.position
        hit = toward @ toward - (rays @ toward) ** 2 < RADIUS**2
        pixels = np.where(hit[..., None], [90, 120, 150, 255], [255, 255, 255, 0]).astype(np.uint8)
        result.append(physical.Shot(shot.position, shot.axes, pixels if alpha else pixels[..., :3]))
    return result


def check(folder, capsys, *flags):
    main([str(folder), "-o", str(folder.parent / "check.png"), *flags])
    return capsys.readouterr().out


RIGHT = ["--source.center", "1", "-2", "0.5", "--source.radius", "0.65"]


def test_a_clean_scene_has_no_trap_but_its_framing(tmp_path, capsys):
    close = {**FAR, "fx": 108.0, "fy": 108.0}  # the sphere of radius 0.65, 3 away, fills the image
    physical.write_nerfstudio(tmp_path / "s", ball_shots(close), close)
    output = check(tmp_path / "s", capsys, *RIGHT)
    assert "format nerfstudio, scenes: 1, views each: 6" in output and "no trap found" in output
    assert (tmp_path / "check.png").stat().st_size > 1000
    physical.write_nerfstudio(tmp_path / "far", ball_shots(), FAR)
    output = check(tmp_path / "far", capsys, *RIGHT)
    assert output.count("trap:") == 1 and "--source.square frame" in output
    assert "no trap" in check(tmp_path / "far", capsys, *RIGHT, "--source.image_size", "48", "--source.square", "frame")


@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize(("keys", "turn"), [
    (("flip_axes",), lambda s: physical.Shot(s.position, s.axes * [1, -1, -1], s.pixels)),
    (("invert_poses",), lambda s: physical.Shot(-s.axes.T @ s.position, s.axes.T, s.pixels)),
])  # fmt: skip
def test_wrong_axes_are_found_by_silhouettes_or_by_the_cameras_alone(tmp_path, capsys, alpha, keys, turn):
    physical.write_srn(tmp_path / "s", [turn(shot) for shot in ball_shots(alpha=alpha)], FAR)
    output = check(tmp_path / "s", capsys)
    assert " ".join(f"--source.{key} true" for key in keys) in output
    mended = check(tmp_path / "s", capsys, *(word for key in keys for word in (f"--source.{key}", "true")))
    assert "do not meet" not in mended


def test_pixel_centers_borders_masks_sizes_and_scale(tmp_path, capsys):
    whole = {**FAR, "cx": 23.5, "cy": 23.5}
    physical.write_nerfstudio(tmp_path / "centers", ball_shots(), whole)
    assert "--source.integer_centers true" in check(tmp_path / "centers", capsys)
    assert "integer_centers" not in check(tmp_path / "centers", capsys, "--source.integer_centers", "true")
    wide = {**FAR, "fx": 110.0, "fy": 110.0, "cx": 50.0}
    physical.write_nerfstudio(tmp_path / "cut", ball_shots(wide, width=80), wide)
    output = check(tmp_path / "cut", capsys)
    assert "cut off" in output and "--source.square pad" in output and "images are 80x48" in output
    physical.write_nerfstudio(tmp_path / "gray", ball_shots(alpha=False), FAR)
    output = check(tmp_path / "gray", capsys, "--source.background", "0", "0", "0")
    assert "--source.background 1.00 1.00 1.00" in output
    physical.write_nerfstudio(tmp_path / "room", physical.shots(FAR, 4, SIZE, SIZE), FAR)
    assert "not plain" in check(tmp_path / "room", capsys)
    output = check(tmp_path / "gray", capsys, "--source.radius", "1")  # the ball is somewhere else
    assert "--source.align true" in output and "off the scene sphere's center" in output
    values = json.loads((tmp_path / "centers" / "transforms.json").read_text())
    values["frames"][0]["mask_path"] = values["frames"][0]["file_path"]
    (tmp_path / "gray" / "transforms.json").write_text(json.dumps(values))
    assert "only 1 of 6 images have a mask" in check(tmp_path / "gray", capsys)


def test_framed_images_are_what_a_camera_that_looks_at_the_sphere_sees(tmp_path):
    """The panorama tells for each ray what is seen along it; the sphere's outline touches the image's sides."""
    lens = {"fx": 70.0, "fy": 68.0, "cx": 52.0, "cy": 38.0, "k1": -0.1, "k2": 0.02, "p1": 0.002, "p2": -0.001}
    physical.write_nerfstudio(tmp_path, physical.shots(lens, 3, 80, 100, jitter=0.03), lens)
    reading = Reading(image_size=24, square="frame", center=(1.0, -2.0, 0.5), radius=0.8)
    views = load_scene_folder(tmp_path, (1.0, 1.0, 1.0), reading)
    seen = physical.color_seen(camera_rays(views.cameras).directions.double().numpy())
    assert np.abs(views.images.numpy() - seen).max() < 0.012
    sphere = SceneTransform((1.0, -2.0, 0.5), 0.8)
    for view in range(3):
        outline = sphere_outline(views.cameras.positions[view], sphere)
        places = project(outline, views.cameras[view])
        assert torch.allclose(places.amin(0), torch.zeros(2), atol=2e-3)
        assert torch.allclose(places.amax(0), torch.ones(2), atol=2e-3)


def test_the_outline_is_where_lines_touch_the_sphere():
    eye, sphere = torch.tensor([3.0, -1.0, 2.0]), SceneTransform((0.5, 0.2, -0.3), 1.2)
    outline = sphere_outline(eye, sphere)
    center = torch.tensor(sphere.center)
    directions = torch.nn.functional.normalize(outline - eye, dim=-1)
    assert torch.allclose(((outline - eye) * (outline - center)).sum(-1), torch.zeros(73), atol=1e-5)
    near, far = intersect_sphere(RayBundle((eye - center).expand(73, 3), directions), 1.2 * 1.001)
    assert bool((far - near < 0.15).all()) and bool((far > near).all())
