import json

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from hypernerf.export.maps import depth_colors, view_picture
from hypernerf.fields import save_scene_file
from hypernerf.types import InputError, RenderOutput
from scenes.camera_path import read_camera_path
from tests.conftest import run_tool


def test_depth_colors_darken_from_near_to_far():
    colors = depth_colors(np.linspace(0, 4, 50)[None], (1.0, 3.0))
    lightness = colors[0] @ [0.299, 0.587, 0.114]
    assert (colors[0, :13] == colors[0, 0]).all() and (colors[0, -12:] == colors[0, -1]).all()
    assert (np.diff(lightness[12:-12]) < 0).all()


def test_pictures_stand_side_by_side():
    view = RenderOutput(torch.full((4, 5, 3), 0.2), torch.full((4, 5), 0.6), torch.zeros(4, 5))
    view.depth[0] = 2.0
    picture = view_picture(view, ["opacity", "depth", "color"], (2.0, 3.0), (1.0, 1.0, 0.0))
    assert picture.shape == (4, 15, 3)
    assert (picture[:, :5] == 153).all() and (picture[:, 10:] == 51).all()
    assert (picture[0, 5:10] == [250, 235, 120]).all() and (picture[1:, 5:10] == [255, 255, 0]).all()


def path_file(folder, **changes):
    pose = [1, 0, 0, 1, 0, 0, -1, -3, 0, 1, 0, 3, 0, 0, 0, 1]  # OpenGL axes: at (1, -3, 3), looking along +y
    values = {"camera_type": "perspective", "render_height": 20, "render_width": 40, "fps": 24, "seconds": 1}
    values["camera_path"] = [{"camera_to_world": pose, "fov": 90.0, "aspect": 2}, {"camera_to_world": pose, "fov": 60.0}]
    path = folder / "path.json"
    path.write_text(json.dumps({**values, **changes}))
    return path


def test_a_nerfstudio_camera_path_is_read_as_its_viewer_means_it(tmp_path):
    cameras = read_camera_path(path_file(tmp_path))
    assert (cameras.height, cameras.width) == (20, 40)
    torch.testing.assert_close(cameras.positions[0], torch.tensor([1.0, -3, 3]))
    torch.testing.assert_close(cameras.camera_to_world[0, :3, 2], torch.tensor([0.0, 1, 0]))  # forward
    torch.testing.assert_close(cameras.camera_to_world[0, :3, 1], torch.tensor([0.0, 0, -1]))  # down
    expected = torch.tensor([[10.0, 10, 20, 10], [10 * 3**0.5, 10 * 3**0.5, 20, 10]])
    torch.testing.assert_close(cameras.intrinsics, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera_type": "fisheye"}, "perspective"),
        ({"camera_path": []}, "at least one"),
        ({"camera_path": [{"fov": 50}]}, "camera_to_world"),
        ({"camera_path": [{"fov": 50, "camera_to_world": [2] * 16}]}, "camera 0 is no pose"),
        ({"render_width": None}, "render_width"),
        ({"render_width": float("inf")}, "render_width"),
        ({"camera_path": [{"fov": 200, "camera_to_world": np.eye(4).flatten().tolist()}]}, "180 degrees"),
    ],
)
def test_a_broken_camera_path_is_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_camera_path(path_file(tmp_path, **changes))


def test_the_command_follows_a_path_and_shows_maps(tmp_path, scene_field):
    save_scene_file(tmp_path / "s.field.safetensors", scene_field)
    code, output, error = run_tool(
        "render_views", tmp_path / "s.field.safetensors", "--cameras", path_file(tmp_path), "--show", "color", "depth", "opacity",
        "--samples", 16, "-o", tmp_path / "views",
    )  # fmt: skip
    assert code == 0, error
    picture = iio.imread(tmp_path / "views" / "0000.png")
    assert picture.shape == (20, 120, 3)
    # a ball of radius 1 about (1, 2, 3), seen from (1, -3, 3): in the middle, about 4 away
    assert (picture[10, 20] < 255).any() and (picture[10, 100] > 200).all() and (picture[0, 80] == 0).all()
    near = float(output.split("depth from ")[1].split()[0])
    assert near == pytest.approx(4.0, abs=0.2)
