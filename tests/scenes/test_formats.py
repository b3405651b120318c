"""The same physical scene, written by `physical.py` in every format, is read as the same rays and the same colors."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from hypernerf.geometry import camera_rays
from hypernerf.types import InputError
from scenes import open_source, source_config_type
from scenes.align import aligned, rotation_between
from scenes.colmap import ColmapConfig, load_colmap_scene
from scenes.detect import find_scenes, load_scene_folder, scene_format
from scenes.distortion import Distortion, distort
from scenes.image_folder import ImagesConfig
from scenes.learnit import LearnitConfig
from scenes.nerfstudio import NerfstudioConfig, load_transforms_scene
from scenes.nmr import NmrConfig
from scenes.source import Reading, SceneError, check_scene
from tests.scenes import physical

WHITE = (1.0, 1.0, 1.0)
AS_WRITTEN = Reading(align=False)
LENS = {"fx": 31.0, "fy": 27.0, "cx": 11.0, "cy": 13.5}
FORMATS = ["srn", "blender", "learnit", "nerfstudio", "nerfstudio per frame", "colmap text", "colmap binary", "nmr", "nmr scaled"]


def write(form, place, scene, lens):
    if form == "srn":
        physical.write_srn(place, scene)
    elif form == "blender":
        physical.write_blender(place, scene)
    elif form == "learnit":
        return physical.write_learnit(place, scene)
    elif form.startswith("nerfstudio"):
        physical.write_nerfstudio(place, scene, lens, per_frame="frame" in form)
    elif form.startswith("colmap"):
        physical.write_colmap(place, scene, lens, "PINHOLE", binary="binary" in form)
    else:
        scaled = {"scale": 1.7, "offset": (0.2, -0.1, 0.4)} if "scaled" in form else {}
        return physical.write_nmr(place, scene, lens, **scaled)
    return place


def check_rays(cameras, scene, lens):
    rays = camera_rays(cameras)
    assert len(cameras) == len(scene)
    for view, shot in enumerate(scene):
        expected = physical.directions_of(shot.axes, lens, cameras.height, cameras.width)
        assert np.abs(rays.directions[view].numpy() - expected).max() < 1e-5
        assert np.abs(rays.origins[view].numpy() - shot.position).max() < 1e-5


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_rays(tmp_path, form):
    lens = physical.centered_lens()
    scene = physical.shots(lens)
    folder = write(form, tmp_path / "scene", scene, lens)
    assert scene_format(folder).name == form.split()[0]
    views = check_scene(load_scene_folder(folder, WHITE, AS_WRITTEN))
    check_rays(views.cameras, scene, lens)
    for view, shot in enumerate(scene):
        assert np.abs(views.images[view].numpy() * 255 - shot.pixels).max() < 1e-3


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("srn", "blender", "learnit")])
def test_off_center_lenses_and_oblong_images(tmp_path, form):
    scene = physical.shots(LENS, 4, height=20, width=28)
    folder = write(form, tmp_path, scene, LENS)
    check_rays(load_scene_folder(folder, WHITE, AS_WRITTEN).cameras, scene, LENS)


WIDE = {"fx": 46.0, "fy": 42.0, "cx": 27.0, "cy": 23.5}
BARREL = {**WIDE, "k1": -0.15, "k2": 0.03, "p1": 0.004, "p2": -0.006}
FISHEYE = {**WIDE, "fx": 30.0, "fy": 27.0, "k1": 0.05, "k2": -0.02, "k3": 0.01, "k4": -0.003, "fisheye": True}
SIMPLE = {**WIDE, "fy": 46.0}
BENT = [
    ("nerfstudio", "", {**BARREL, "k3": -0.01}),
    ("nerfstudio", "", {**WIDE, "k1": 0.2, "k4": 0.01}),
    ("nerfstudio", "", FISHEYE),
    ("colmap", "SIMPLE_RADIAL", {**SIMPLE, "k1": 0.15}),
    ("colmap", "RADIAL", {**SIMPLE, "k1": -0.2, "k2": 0.05}),
    ("colmap", "OPENCV", BARREL),
    ("colmap", "OPENCV_FISHEYE", FISHEYE),
]


@pytest.mark.parametrize(("form", "model", "lens"), BENT)
def test_undistorted_images_show_what_is_seen_along_their_rays(tmp_path, form, model, lens):
    scene = physical.shots(lens, 2, height=44, width=60)
    if form == "nerfstudio":
        physical.write_nerfstudio(tmp_path, scene, lens)
    else:
        physical.write_colmap(tmp_path, scene, lens, model, binary=True)
    for reading in (AS_WRITTEN, Reading(image_size=30, align=False), Reading(image_size=30, square="pad", align=False)):
        views = load_scene_folder(tmp_path, WHITE, reading)
        rays = camera_rays(views.cameras)
        wrong = np.abs(views.images.numpy() - physical.color_seen(rays.directions.numpy().astype(np.float64)))
        if reading.square == "pad":  # above and below the photo there is background
            assert views.images[:, :3].min() == 1 and views.images[:, -3:].min() == 1
            wrong = wrong[:, 5:-5, 1:-1]
        else:
            wrong = wrong[:, 1:-1, 1:-1]
        assert wrong.max() < 0.012 and wrong.mean() < 0.003


def test_distortion_agrees_with_opencv():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.8, 0.8, (200, 2))
    solid = np.concatenate([points, np.ones((200, 1))], axis=1)
    k1, k2, p1, p2, k3 = -0.21, 0.07, 0.003, -0.004, 0.02
    theirs = cv2.projectPoints(solid, np.zeros(3), np.zeros(3), np.eye(3), np.array([k1, k2, p1, p2, k3]))[0][:, 0]
    ours = distort(torch.from_numpy(points), Distortion(k1=k1, k2=k2, k3=k3, p1=p1, p2=p2)).numpy()
    assert np.abs(theirs - ours).max() < 1e-9
    fisheye = np.array([0.1, -0.05, 0.02, -0.004])
    theirs = cv2.fisheye.projectPoints(solid[:, None], np.zeros(3), np.zeros(3), np.eye(3), fisheye)[0][:, 0]
    ours = distort(torch.from_numpy(points), Distortion(True, *fisheye.tolist())).numpy()
    assert np.abs(theirs - ours).max() < 1e-9


@pytest.mark.parametrize("lens", [{**LENS, "k1": -3.0}, {**LENS, "k1": 9000.0}, {**FISHEYE, "k1": -1.5}])
def test_absurd_distortion_is_refused(tmp_path, lens):
    plain = physical.shots(LENS, 2)
    physical.write_nerfstudio(tmp_path, plain, lens)
    with pytest.raises(SceneError, match="distortion coefficients"):
        load_transforms_scene(tmp_path, WHITE)


@pytest.mark.parametrize("form", ["nerfstudio", "colmap", "nmr"])
def test_masks_clear_the_background(tmp_path, form):
    lens = physical.centered_lens()
    scene = physical.shots(lens, 4)
    mask = np.zeros((physical.SIZE, physical.SIZE), dtype=np.uint8)
    mask[8:16, 6:20] = 255
    if form == "nerfstudio":
        physical.write_nerfstudio(tmp_path, scene, lens)
        text = (tmp_path / "transforms.json").read_text()
        (tmp_path / "transforms.json").write_text(text.replace('"file_path"', '"mask_path": "masks/m.png", "file_path"'))
        physical.save(tmp_path / "masks" / "m.png", mask)
        folder = tmp_path
    elif form == "colmap":
        physical.write_colmap(tmp_path, scene, lens, "PINHOLE", binary=False)
        for number in range(4):
            physical.save(tmp_path / "masks" / f"photo {number}.png.png", mask)
        folder = tmp_path
    else:
        folder = physical.write_nmr(tmp_path, scene, lens)
        for number in range(4):
            physical.save(folder / "mask" / f"{number:04d}.png", mask)
    views = load_scene_folder(folder, (0.0, 1.0, 0.0), AS_WRITTEN)
    assert torch.equal(views.masks, torch.from_numpy(mask / np.float32(255)).expand(4, -1, -1))
    assert views.images[0, 0, 0].tolist() == [0, 1, 0]
    assert np.allclose(views.images[1, 9, 9].numpy() * 255, scene[1].pixels[9, 9], atol=1e-3)


def test_applied_transform_is_undone_on_request(tmp_path):
    """nerfstudio's export turns COLMAP's world; its own matrices are in the turned one."""
    lens = physical.centered_lens()
    scene = physical.shots(lens, 4)
    applied, scale = np.array([[0.0, 1, 0, 0.3], [0, 0, 1, -0.2], [1, 0, 0, 0.1]]), 0.25
    turned = [
        physical.Shot(scale * (applied[:, :3] @ shot.position + applied[:, 3]), applied[:, :3] @ shot.axes, shot.pixels)
        for shot in scene
    ]
    extra = {"applied_transform": applied.tolist(), "applied_scale": scale}
    physical.write_nerfstudio(tmp_path / "scenes" / "one", turned, lens, **extra)
    check_rays(load_scene_folder(tmp_path / "scenes" / "one", WHITE).cameras, turned, lens)
    source = open_source(NerfstudioConfig(name="nerfstudio", root=str(tmp_path / "scenes"), undo_applied=True))
    check_rays(source.load("one").cameras, scene, lens)


def test_what_files_get_wrong_is_set_right_by_a_flag(tmp_path):
    lens = physical.centered_lens()
    scene = physical.shots(lens, 4)
    swapped = [physical.Shot(s.position, s.axes * [1, -1, -1], s.pixels) for s in scene]  # OpenCV matrices as if OpenGL
    physical.write_nerfstudio(tmp_path / "flipped", swapped, lens)
    check_rays(load_scene_folder(tmp_path / "flipped", WHITE, Reading(flip_axes=True)).cameras, scene, lens)
    inverted = [physical.Shot(-s.axes.T @ s.position, s.axes.T, s.pixels) for s in scene]
    physical.write_srn(tmp_path / "inverted", inverted)
    check_rays(load_scene_folder(tmp_path / "inverted", WHITE, Reading(invert_poses=True)).cameras, scene, lens)
    integer = {**lens, "cx": lens["cx"] - 0.5, "cy": lens["cy"] - 0.5}
    physical.write_colmap(tmp_path / "integer", scene, integer, "PINHOLE", binary=True)
    reading = Reading(integer_centers=True, align=False)
    check_rays(load_scene_folder(tmp_path / "integer", WHITE, reading).cameras, scene, lens)


def test_images_of_several_sizes_need_an_image_size(tmp_path):
    lens = physical.centered_lens()
    physical.write_nerfstudio(tmp_path, physical.shots(lens, 4), lens)
    large = physical.shots({key: 2 * value for key, value in lens.items()}, 1, 2 * physical.SIZE, 2 * physical.SIZE)
    physical.save(tmp_path / "images" / "frame_00000.png", large[0].pixels)
    with pytest.raises(SceneError, match=r"frame_00001\.png.*source\.image_size"):
        load_scene_folder(tmp_path, WHITE)
    views = load_scene_folder(tmp_path, WHITE, Reading(image_size=physical.SIZE))
    wrong = np.abs(views.images.numpy() - physical.color_seen(camera_rays(views.cameras).directions.double().numpy()))
    assert wrong[:, 1:-1, 1:-1].max() < 0.012
    Image.new("RGB", (24, 32)).save(tmp_path / "images" / "frame_00002.png")
    with pytest.raises(SceneError, match=r"frame 2.*turned or cropped"):
        load_scene_folder(tmp_path, WHITE, Reading(image_size=physical.SIZE))


def test_smaller_copies_of_colmap_images(tmp_path):
    lens = physical.centered_lens()
    scene = physical.shots(lens, 4)
    physical.write_colmap(tmp_path, scene, lens, "SIMPLE_PINHOLE", binary=True)
    half = {key: value / 2 for key, value in lens.items()}
    small = physical.shots(half, 4, 12, 12)
    for number, shot in enumerate(small):
        physical.save(tmp_path / "images_2" / f"photo {number}.png", shot.pixels)
    config = ColmapConfig(name="colmap", root=str(tmp_path), images="images_2", align=False)
    check_rays(open_source(config).load(".").cameras, small, half)


def test_alignment_forgets_where_a_scene_was_and_how_large(tmp_path):
    """The same scene in two worlds is one scene, but for a turn about the up axis; a ball is brought into the sphere."""
    lens = physical.centered_lens()
    turn, scale = rotation_between(torch.tensor([0.0, 0, 1.0]).double(), torch.tensor([0.6, 0.0, 0.8]).double()).numpy(), 3.5
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.allclose(turn @ [0, 0, 1], [0.6, 0, 0.8])
    shots = []
    for shot in physical.shots(lens, 8, jitter=0.03):
        directions = physical.directions_of(shot.axes, lens, physical.SIZE, physical.SIZE)
        toward = np.array([1.0, -2.0, 0.5]) - shot.position
        along = directions @ toward
        hit = (toward @ toward - along**2 < 0.57**2).astype(np.uint8)[..., None] * 255  # a ball of radius 0.57 = 0.95 * 0.6
        shots.append(physical.Shot(shot.position, shot.axes, np.concatenate([shot.pixels, hit], -1)))
    moved = [physical.Shot(scale * turn @ s.position + [4, 5, 6], turn @ s.axes, s.pixels) for s in shots]
    physical.write_colmap(tmp_path / "a", shots, lens, "PINHOLE", binary=False)
    physical.write_colmap(tmp_path / "b", moved, lens, "PINHOLE", binary=False)
    reading = Reading(center=(0.0, 1.0, 0.0), radius=2.0)
    one, two = (load_scene_folder(tmp_path / name, WHITE, reading).cameras for name in "ab")
    assert torch.allclose(torch.cdist(one.positions, one.positions), torch.cdist(two.positions, two.positions), atol=2e-4)
    assert torch.allclose(one.positions[:, 2], two.positions[:, 2], atol=2e-4)
    assert torch.allclose(one.camera_to_world[:, 2, :3], two.camera_to_world[:, 2, :3], atol=1e-4)
    assert torch.allclose(one.camera_to_world[:, 2, 0], torch.zeros(8), atol=1e-5)  # no camera was tilted: z is up
    distance = (one.positions - torch.tensor([0.0, 1.0, 0.0])).norm(dim=-1)
    assert torch.allclose(distance, torch.full((8,), 3.0 / 0.6 * 2.0), rtol=0.04)  # 24 pixels tell a ball's size to 4%
    with pytest.raises(SceneError, match=r"source\.center"):
        aligned(load_colmap_scene(tmp_path / "a", WHITE, AS_WRITTEN)[[0]], reading)


def test_empty_masks_cannot_be_aligned(tmp_path):
    scene = [physical.Shot(s.position, s.axes, np.zeros((24, 24, 4), np.uint8)) for s in physical.shots(count=3)]
    physical.write_colmap(tmp_path, scene, physical.centered_lens(), "PINHOLE", binary=True)
    with pytest.raises(SceneError, match="all masks are empty"):
        load_scene_folder(tmp_path, WHITE)


def test_photos_without_cameras(tmp_path):
    for number in range(3):
        physical.save(tmp_path / "cup" / f"{number}.png", np.full((20, 30, 3), 40 * number, np.uint8))
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:8], pixels[:, 8:12] = (255, 0, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: to be turned by a quarter to the right
    Image.fromarray(pixels).save(tmp_path / "cup" / "turned.png", exif=exif)
    assert scene_format(tmp_path / "cup").name == "images"
    source = open_source(ImagesConfig(name="images", root=str(tmp_path), image_size=8))
    assert source.scene_ids("test") == ["cup"] and source.scene_ids("train") == []
    views = check_scene(source.load("cup"))
    assert views.images.shape == (4, 8, 8, 3) and views.masks is None
    assert views.images[3, 1].mean(0).argmax() == 0 and views.images[3, -2].mean(0).argmax() == 2  # red above blue


def test_sources_find_their_scenes(tmp_path):
    lens = physical.centered_lens()
    scene = physical.shots(lens, 4)
    physical.write_learnit(tmp_path / "learnit", scene)
    source = open_source(LearnitConfig(name="learnit", root=str(tmp_path / "learnit")))
    assert source.scene_ids("test") == ["chairs/03001627/abc"] and source.scene_ids("train") == []  # its folder is empty
    check_rays(source.load("chairs/03001627/abc").cameras, scene, lens)
    physical.write_nmr(tmp_path / "nmr", scene, lens)
    source = open_source(NmrConfig(name="nmr", root=str(tmp_path / "nmr")))
    assert source.scene_ids("test") == ["03001627/abc"]
    check_rays(source.load("03001627/abc").cameras, scene, lens)
    for name in "abcd":
        physical.write_colmap(tmp_path / "colmap" / name, scene, lens, "PINHOLE", binary=True)
    source = open_source(ColmapConfig(name="colmap", root=str(tmp_path / "colmap")))
    assert sorted(sum((source.scene_ids(split) for split in ("train", "val", "test")), [])) == list("abcd")
    for name, count in (("learnit", 1), ("nmr", 1), ("colmap", 4)):
        form, folders = find_scenes(tmp_path / name)
        assert (form.name, len(folders)) == (name, count)
    for name in ("learnit", "nmr", "colmap", "nerfstudio", "images"):
        with pytest.raises(InputError, match=r"source\.root"):
            open_source(source_config_type(name)(name=name, root=str(tmp_path / "nothing")))


@pytest.mark.parametrize("form", ["srn", "blender", "learnit", "nerfstudio", "colmap binary", "nmr", "images"])
def test_links_out_of_a_scene_are_followed_on_request_alone(tmp_path, form):
    lens = physical.centered_lens()
    scene = physical.shots(lens, 4)
    if form == "images":
        for number, shot in enumerate(scene):
            physical.save(tmp_path / "scene" / f"{number}.png", shot.pixels)
        folder = tmp_path / "scene"
    else:
        folder = write(form, tmp_path / "scene", scene, lens)
    image = sorted(folder.rglob("*.png"))[0]
    image.rename(tmp_path / "elsewhere.png")
    image.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(SceneError, match=r"leaves the folder.*source\.follow_links"):
        load_scene_folder(folder, WHITE, AS_WRITTEN)
    assert len(load_scene_folder(folder, WHITE, Reading(align=False, follow_links=True))) == 4


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/hostname", "\0", "a" * 300])
def test_names_of_images_stay_in_the_scene(tmp_path, name):
    lens = physical.centered_lens()
    physical.write_nerfstudio(tmp_path / "nerfstudio", physical.shots(lens, 2), lens)
    path = tmp_path / "nerfstudio" / "transforms.json"
    values = json.loads(path.read_text())
    values["frames"][1]["mask_path"] = name
    path.write_text(json.dumps(values))
    with pytest.raises(SceneError, match="frame 1"):
        load_scene_folder(tmp_path / "nerfstudio", WHITE)
    physical.write_colmap(tmp_path / "colmap", physical.shots(lens, 2), lens, "PINHOLE", binary=False)
    path = tmp_path / "colmap" / "sparse" / "0" / "images.txt"
    path.write_text(path.read_text().replace("photo 1.png", name))
    with pytest.raises(SceneError):
        load_scene_folder(tmp_path / "colmap", WHITE)


def test_damaged_colmap_models_are_named(tmp_path):
    lens = physical.centered_lens()
    physical.write_colmap(tmp_path, physical.shots(lens, 2), lens, "PINHOLE", binary=True)
    for name in ("cameras.bin", "images.bin"):
        path = tmp_path / "sparse" / "0" / name
        whole = path.read_bytes()
        for end in range(0, len(whole), 7):
            path.write_bytes(whole[:end])
            with pytest.raises(SceneError, match="sparse/0"):
                load_scene_folder(tmp_path, WHITE)
        path.write_bytes(b"\xff" * 8 + whole[8:])  # claims more entries than there are
        with pytest.raises(SceneError, match=name):
            load_scene_folder(tmp_path, WHITE)
        path.write_bytes(whole)
    physical.write_colmap(tmp_path / "text", physical.shots(lens, 2), lens, "PINHOLE", binary=False)
    path = tmp_path / "text" / "sparse" / "0" / "cameras.txt"
    path.write_text(path.read_text().replace("PINHOLE", "FULL_OPENCV"))
    with pytest.raises(SceneError, match=r"FULL_OPENCV.*image_undistorter"):
        load_scene_folder(tmp_path / "text", WHITE)


def _npy(array, **keys):
    file = io.BytesIO()
    np.save(file, array, **keys)
    return file.getvalue()


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (_npy(np.array([{}] * 16).reshape(4, 4), allow_pickle=True), "no 4x4 matrix"), (_npy(np.zeros(4)), "no 4x4 matrix"),
        (_npy(np.zeros((4, 4))), "no pose"), (_npy(np.eye(4))[:-8], "no 4x4 matrix"), (_npy(np.zeros((99, 99))), "no 4x4 matrix"),
        (b"", "no 4x4 matrix"),
    ],
)  # fmt: skip
def test_damaged_nmr_cameras_are_named(tmp_path, world, message):
    lens = physical.centered_lens()
    folder = physical.write_nmr(tmp_path, physical.shots(lens, 2), lens)
    (folder / "cameras.npz").write_bytes(physical.npz({"world_mat_0": world, "camera_mat_0": _npy(np.eye(4))}))
    with pytest.raises(SceneError, match=message):
        load_scene_folder(folder, WHITE)
    (folder / "cameras.npz").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(SceneError, match=r"cameras\.npz"):
        load_scene_folder(folder, WHITE)
