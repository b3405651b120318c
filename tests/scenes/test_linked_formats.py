"""What the fuzz campaign found in the formats of others: links in them were followed before they were looked at."""

import json

import pytest

from hypernerf.types import InputError
from scenes.align import aligned
from scenes.colmap import load_colmap_scene
from scenes.detect import scene_format
from scenes.learnit import LearnitConfig, LearnitSource
from scenes.source import Reading, SceneError
from tests.scenes import physical

WHITE = (1.0, 1.0, 1.0)


@pytest.fixture
def colmap(tmp_path):
    lens = physical.centered_lens()
    physical.write_colmap(tmp_path / "scene", physical.shots(lens), lens, "PINHOLE", binary=True)
    return tmp_path / "scene"


def test_a_linked_folder_of_images_is_followed_only_where_that_is_asked_for(colmap):
    (colmap / "images").rename(colmap.parent / "elsewhere")
    (colmap / "images").symlink_to(colmap.parent / "elsewhere")
    with pytest.raises(SceneError, match=r"leaves the folder.*source\.follow_links"):
        load_colmap_scene(colmap, WHITE)
    assert len(load_colmap_scene(colmap, WHITE, Reading(follow_links=True))) == 5


def test_finding_out_a_format_opens_nothing_elsewhere(tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps({"camera_angle_x": 0.7, "frames": [{"file_path": "x", "transform_matrix": []}]}))
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "transforms.json").symlink_to(outside)
    assert scene_format(folder).name == "nerfstudio"  # whose reader refuses it; as an older file it would be "blender"


def test_linked_lists_of_scenes_are_refused(tmp_path):
    lens = physical.centered_lens()
    root = tmp_path / "root"
    physical.write_learnit(root, physical.shots(lens))
    (root / "chair_splits.json").rename(tmp_path / "elsewhere.json")
    (root / "chair_splits.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(InputError, match="leaves the folder"):
        LearnitSource(LearnitConfig(name="learnit", root=str(root)))
    assert LearnitSource(LearnitConfig(name="learnit", root=str(root), follow_links=True)).scene_ids("test")


def test_cameras_that_are_none_are_not_aligned(colmap):
    views = load_colmap_scene(colmap, WHITE, Reading(align=False))
    views.cameras.camera_to_world[0, :3, 3] = 1e30
    with pytest.raises(SceneError, match="pose of view 0"):
        aligned(views, Reading())
