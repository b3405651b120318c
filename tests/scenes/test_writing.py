import json

import numpy as np
import pytest
import torch
from PIL import Image

from hypernerf.geometry import camera_rays
from hypernerf.types import Cameras
from scenes.detect import load_scene_folder
from scenes.writing import write_scene


@pytest.fixture
def drawn(cameras):
    """Views of 24x20 with an off-center principal point, and random pixels."""
    cameras = Cameras(cameras.camera_to_world, torch.tensor([30.0, 32, 11, 9]).expand(len(cameras), 4), 20, 24)
    pixels = np.random.default_rng(0).integers(0, 256, (len(cameras), 20, 24, 4)).astype(np.uint8)
    return pixels, cameras


def test_nerfstudios_own_reading_of_our_files_gives_our_rays(tmp_path, drawn):
    pixels, cameras = drawn
    write_scene(tmp_path / "s", "nerfstudio", pixels, cameras)
    values = json.loads((tmp_path / "s" / "transforms.json").read_text())
    assert values["camera_model"] == "OPENCV" and all(values[key] == 0 for key in ("k1", "k2", "p1", "p2"))
    assert (values["w"], values["h"]) == (24, 20)
    for number, frame in enumerate(values["frames"]):
        image = np.array(Image.open(tmp_path / "s" / frame["file_path"]))
        assert (image == pixels[number]).all()
        # its convention: pixel centers at +0.5, y up, looking along -z
        matrix = np.array(frame["transform_matrix"])
        rows, columns = np.mgrid[:20, :24] + 0.5
        x, y = (columns - values["cx"]) / values["fl_x"], (rows - values["cy"]) / values["fl_y"]
        directions = np.stack([x, -y, -np.ones_like(x)], axis=-1) @ matrix[:3, :3].T
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        rays = camera_rays(cameras[number])
        np.testing.assert_allclose(directions, rays.directions.numpy(), atol=1e-5)
        np.testing.assert_allclose(matrix[:3, 3], rays.origins[0, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize("layout", ["blender", "nerfstudio"])
def test_what_is_written_is_read_back(tmp_path, drawn, layout):
    pixels, cameras = drawn
    write_scene(tmp_path / "s", layout, pixels, cameras)
    views = load_scene_folder(tmp_path / "s", (1.0, 1.0, 1.0))
    torch.testing.assert_close(views.cameras.camera_to_world, cameras.camera_to_world)
    torch.testing.assert_close(views.cameras.intrinsics, cameras.intrinsics)
    torch.testing.assert_close(views.masks, torch.from_numpy(pixels[..., 3] / np.float32(255)))
