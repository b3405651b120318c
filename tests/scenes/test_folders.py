"""SRN and NeRF-synthetic folders, written here by hand: the readers are not tested against our own writer."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from hypernerf.geometry import camera_rays
from hypernerf.types import InputError
from scenes import open_source
from scenes.blender import BlenderConfig, load_blender_scene
from scenes.camera_path import read_camera_path
from scenes.detect import load_scene_folder
from scenes.loading import load_split
from scenes.source import Reading, SceneError, SourceConfig
from scenes.srn import SrnConfig, load_srn_scene

WHITE = (1.0, 1.0, 1.0)
# OpenCV camera at (0, -3, 0) looking along +y with z up: right = +x, down = -z, forward = +y
POSE = [[1, 0, 0, 0], [0, 0, 1, -3], [0, -1, 0, 0], [0, 0, 0, 1]]
OPENGL = [[1, 0, 0, 0], [0, 0, -1, -3], [0, 1, 0, 0], [0, 0, 0, 1]]


def picture(path, size=(8, 8), mode="RGBA"):
    pixels = np.zeros((*size, 4), dtype=np.uint8)
    pixels[2:4, 2:6] = (255, 0, 0, 255)
    pixels[4, 2:6] = (255, 0, 0, 128)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


def srn_scene(folder, views=5, mode="RGBA", size=(8, 8)):
    for view in range(views):
        picture(folder / "rgb" / f"{view:06d}.png", size, mode)
        (folder / "pose").mkdir(exist_ok=True)
        (folder / "pose" / f"{view:06d}.txt").write_text(" ".join(str(x) for row in POSE for x in row))
    (folder / "intrinsics.txt").write_text("12.5 4. 4. 0.\n0. 0. 0.\n1.\n8 8\n")


def blender_scene(folder, views=5, **extra):
    frames = [{"file_path": f"./images/r_{view}", "transform_matrix": OPENGL} for view in range(views)]
    for view in range(views):
        picture(folder / "images" / f"r_{view}.png")
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": 2 * math.atan(0.32), "frames": frames, **extra}))


def check_camera(cameras):
    """The pixel to the right of and above the center is seen to the right of and above the axis."""
    direction = camera_rays(cameras).directions[0, 3, 4]
    expected = torch.nn.functional.normalize(torch.tensor([0.5 / 12.5, 1.0, 0.5 / 12.5]), dim=0)
    assert torch.allclose(direction, expected, atol=1e-6)
    assert torch.allclose(cameras.positions[0], torch.tensor([0.0, -3.0, 0.0]))


def test_both_formats_give_the_same_scene(tmp_path):
    srn_scene(tmp_path / "s")
    blender_scene(tmp_path / "b")
    one, two = load_scene_folder(tmp_path / "s", WHITE), load_scene_folder(tmp_path / "b", WHITE)
    check_camera(one.cameras)
    check_camera(two.cameras)
    assert torch.equal(one.images, two.images) and torch.equal(one.masks, two.masks)
    assert one.images[0, 4, 3].tolist() == pytest.approx([1, 127 / 255, 127 / 255], abs=1e-6)  # half transparent over white
    assert one.images[0, 0, 0].tolist() == [1, 1, 1] and one.masks[0, 4, 3].item() == pytest.approx(128 / 255)
    black = load_scene_folder(tmp_path / "s", (0.0, 0.0, 0.0))
    assert black.images[0, 0, 0].tolist() == [0, 0, 0]


def test_intrinsics_follow_the_images_size(tmp_path):
    srn_scene(tmp_path / "s", size=(16, 16))
    cameras = load_srn_scene(tmp_path / "s", WHITE).cameras
    assert cameras.intrinsics[0].tolist() == [25, 25, 8, 8]
    shifted = load_srn_scene(tmp_path / "s", WHITE, Reading(integer_centers=True)).cameras
    assert shifted.intrinsics[0].tolist() == [25, 25, 9, 9]
    blender_scene(tmp_path / "b", fl_x=25.0, fl_y=30.0, cx=7.0, cy=9.0, w=16, h=16)
    assert load_blender_scene(tmp_path / "b", WHITE).cameras.intrinsics[0].tolist() == [12.5, 15, 3.5, 4.5]


def test_images_without_alpha_have_no_mask(tmp_path):
    srn_scene(tmp_path / "s", mode="RGB")
    assert load_srn_scene(tmp_path / "s", WHITE).masks is None


def test_srn_splits_are_sibling_folders_sometimes_nested(tmp_path):
    for number in range(12):
        srn_scene(tmp_path / "cars_train" / "cars_train" / f"id{number}", 4)
    srn_scene(tmp_path / "cars_test" / "idt", 4)
    source = open_source(SrnConfig(name="srn", root=str(tmp_path / "cars")))
    train, val, test = (source.scene_ids(split) for split in ("train", "val", "test"))
    assert len(train) == 11 and len(val) == 1 and test == ["test/idt"] and not set(train) & set(val)
    srn_scene(tmp_path / "cars_val" / "idv", 4)
    source = open_source(SrnConfig(name="srn", root=str(tmp_path / "cars")))
    assert len(source.scene_ids("train")) == 12 and source.scene_ids("val") == ["val/idv"]
    assert source.load("val/idv").scene_id == "val/idv"
    with pytest.raises(InputError, match="boats_train"):
        open_source(SrnConfig(name="srn", root=str(tmp_path / "boats")))
    with pytest.raises(InputError, match=r"source\.root"):
        open_source(SrnConfig(name="srn"))


def test_blender_folders(tmp_path):
    for name in ("a", "b", "c", "d"):
        blender_scene(tmp_path / "many" / name)
    source = open_source(BlenderConfig(name="blender", root=str(tmp_path / "many")))
    assert sorted(sum((source.scene_ids(s) for s in ("train", "val", "test")), [])) == ["a", "b", "c", "d"]
    one = tmp_path / "split" / "lego"
    for split in ("train", "test"):
        picture(one / split / "r_0.png")
        frame = {"file_path": f"./{split}/r_0", "transform_matrix": OPENGL}
        (one / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": 0.6, "frames": [frame]}))
    assert len(load_blender_scene(one, WHITE)) == 2


def _spoil(folder, how):
    image, pose = folder / "rgb" / "000001.png", folder / "pose" / "000001.txt"
    if how == "missing pose":
        pose.unlink()
    elif how == "short pose":
        pose.write_text("1 0 0 0")
    elif how == "nan pose":
        pose.write_text(pose.read_text().replace("-3", "nan"))
    elif how == "scaled pose":
        pose.write_text("2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1")
    elif how == "text image":
        image.write_text("hello")
    elif how == "truncated image":
        image.write_bytes(image.read_bytes()[:60])
    elif how == "mixed sizes":
        picture(image, (16, 16))
    elif how == "no intrinsics":
        (folder / "intrinsics.txt").unlink()
    elif how == "bad intrinsics":
        (folder / "intrinsics.txt").write_text("0 4 4 0\n0 0 0\n1\n8 8\n")
    elif how == "all white":
        for path in (folder / "rgb").iterdir():
            Image.new("RGB", (8, 8), "white").save(path)
    elif how == "few views":
        for path in sorted((folder / "rgb").iterdir())[1:]:
            path.unlink()


WAYS = ["missing pose", "short pose", "nan pose", "scaled pose", "text image", "truncated image", "mixed sizes", "no intrinsics",
        "bad intrinsics", "all white", "few views"]  # fmt: skip


@pytest.mark.parametrize("how", WAYS)
def test_a_bad_scene_is_named_and_skipped_up_to_the_cap(tmp_path, how):
    for number in range(3):
        srn_scene(tmp_path / "x_train" / f"id{number}")
    srn_scene(tmp_path / "x_val" / "idv")
    _spoil(tmp_path / "x_train" / "id1", how)
    config = SrnConfig(name="srn", root=str(tmp_path / "x"), max_bad_scenes=1)
    problems = []
    names = [v.scene_id for v in load_split(open_source(config), config, "train", on_problem=problems.append)]
    assert names == ["train/id0", "train/id2"] and len(problems) == 1 and "id1" in problems[0]
    strict = SrnConfig(name="srn", root=str(tmp_path / "x"), max_bad_scenes=0)
    with pytest.raises(InputError, match="max_bad_scenes"):
        list(load_split(open_source(strict), strict, "train", on_problem=problems.append))


def test_processes_load_what_one_process_loads(tmp_path):
    for number in range(19):
        srn_scene(tmp_path / "x_train" / f"id{number:02d}")
    srn_scene(tmp_path / "x_val" / "idv")
    _spoil(tmp_path / "x_train" / "id11", "short pose")
    config = SrnConfig(name="srn", root=str(tmp_path / "x"), max_bad_scenes=1)
    source, several, alone = open_source(config), [], []
    first = list(load_split(source, config, "train", on_problem=several.append, workers=2))
    second = list(load_split(source, config, "train", on_problem=alone.append, workers=1))
    assert [v.scene_id for v in first] == [v.scene_id for v in second] and len(first) == 18
    assert several == alone and "id11" in several[0]
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, second, strict=True))
    strict = SrnConfig(name="srn", root=str(tmp_path / "x"), max_bad_scenes=0)
    with pytest.raises(InputError, match="id11"):
        list(load_split(source, strict, "train", on_problem=several.append, workers=2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"), ('{"frames": []}', "no list of frames"), ('{"frames": [1]}', "no list of frames"),
        ('{"frames": [{"file_path": "images/r_0"}]}', "transform_matrix"),
        (json.dumps({"frames": [{"file_path": "images/r_0", "transform_matrix": OPENGL}]}), "neither fl_x nor"),
        (json.dumps({"fl_x": "a", "frames": [{"file_path": "images/r_0", "transform_matrix": OPENGL}]}), "no numbers"),
        (json.dumps({"fl_x": 1, "frames": [{"file_path": "../../secret", "transform_matrix": OPENGL}]}), "leaves the folder"),
        (json.dumps({"fl_x": 1, "frames": [{"file_path": "/etc/passwd", "transform_matrix": OPENGL}]}), "leaves the folder"),
        (json.dumps({"fl_x": 1, "frames": [{"file_path": "none", "transform_matrix": OPENGL}]}), "no such image"),
        (json.dumps({"fl_x": 1, "frames": [{"file_path": "images/r_0", "transform_matrix": [[1, 2], [3, 4]]}]}), "no pose"),
    ],
)  # fmt: skip
def test_bad_transforms_files_are_named(tmp_path, text, message):
    blender_scene(tmp_path / "b")
    (tmp_path / "b" / "transforms.json").write_text(text)
    with pytest.raises(SceneError, match=message) as caught:
        load_blender_scene(tmp_path / "b", WHITE)
    assert str(tmp_path) in str(caught.value)


def test_camera_paths_need_no_images(tmp_path):
    path = tmp_path / "path.json"
    path.write_text(json.dumps({"fl_x": 12.5, "w": 8, "h": 8, "frames": [{"transform_matrix": OPENGL}]}))
    check_camera(read_camera_path(path))
    path.write_text(json.dumps({"fl_x": 12.5, "frames": [{"transform_matrix": OPENGL}]}))
    with pytest.raises(InputError, match="needs w and h"):
        read_camera_path(path)


def test_unknown_folders_and_sources_are_named(tmp_path):
    with pytest.raises(InputError, match="no known format"):
        load_scene_folder(tmp_path, WHITE)
    with pytest.raises(InputError, match="not a folder"):
        load_scene_folder(tmp_path / "x", WHITE)
    with pytest.raises(InputError, match="unknown source"):
        open_source(SourceConfig(name="magic"))
    with pytest.raises(InputError, match=r"source\.near"):
        SourceConfig(near=1.0)


def test_a_folder_of_one_split_has_that_split(tmp_path):
    """What render_scenes.py --hold-out writes, say."""
    for name in ("a", "b", ".c.tmp"):
        blender_scene(tmp_path / "test" / name)
    source = open_source(BlenderConfig(name="blender", root=str(tmp_path)))
    found = {split: source.scene_ids(split) for split in ("train", "val", "test")}
    assert found == {"train": [], "val": [], "test": ["test/a", "test/b"]}
