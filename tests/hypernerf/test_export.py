import dataclasses
import json
import struct

import imageio.v3 as iio
import numpy as np
import pytest
import torch
import trimesh

from hypernerf.export import Row, comparison_sheet, extract_mesh, save_frames, save_image, save_mesh, silhouette_agreement
from hypernerf.export.report import ReportData, plot, write_report
from hypernerf.geometry import orbit_cameras
from hypernerf.types import InputError
from tests.conftest import ball


def test_the_mesh_of_a_ball_is_a_closed_ball_in_the_users_units(scene_field, tmp_path):
    mesh = extract_mesh(scene_field, 48)
    # the scene sphere has radius 2 about (1, 2, 3); the ball's radius is 0.5 of it
    radii = np.linalg.norm(mesh.vertices - [1, 2, 3], axis=1)
    assert abs(radii.mean() - 1.0) < 0.15 and radii.std() < 0.1
    for suffix in (".glb", ".ply", ".obj"):
        path = tmp_path / f"ball{suffix}"
        save_mesh(path, mesh)
        loaded = trimesh.load(path, force="mesh")
        assert loaded.is_watertight and loaded.volume == pytest.approx(4 / 3 * np.pi * radii.mean() ** 3, rel=0.15)
        expected = torch.sigmoid(torch.tensor([2.0, -1.0, 0.5])).numpy()
        if suffix == ".glb":
            (part,) = trimesh.load_scene(path, process=False).geometry.values()
            colors, expected = part.visual.vertex_attributes["color"], as_light(expected)
        else:
            colors = loaded.visual.vertex_colors / 255
        assert np.abs(colors[:, :3] - expected).max() < 2 / 255


def as_light(shown: np.ndarray) -> np.ndarray:
    """What a display emits for a value above its linear toe, by the definition of sRGB."""
    return ((shown + 0.055) / 1.055) ** 2.4


def test_a_glb_shows_the_fields_colors_in_viewers_that_follow_the_specification(scene_field, tmp_path):
    mesh = extract_mesh(scene_field, 24)
    # dark, middle, bright: where linear and display encoding differ by much, by the published values of sRGB
    shades = np.array([[0.0, 0.02, 1.0], [0.2, 0.5, 0.8]], dtype=np.float32)
    lights = [[0.0, 0.02 / 12.92, 1.0], [0.0331, 0.2140, 0.6038]]
    mesh = dataclasses.replace(mesh, colors=shades[np.arange(len(mesh.vertices)) % 2])
    save_mesh(tmp_path / "a.glb", mesh)
    tree, blob = parsed_glb((tmp_path / "a.glb").read_bytes())
    primitive = tree["meshes"][0]["primitives"][0]
    assert tree["materials"][primitive["material"]]["extensions"] == {"KHR_materials_unlit": {}}  # no light is added
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"] and "extensionsRequired" not in tree  # others may do without
    read = {}
    for name, index in {**primitive["attributes"], "indices": primitive["indices"]}.items():
        accessor = tree["accessors"][index]
        view = tree["bufferViews"][accessor["bufferView"]]
        kind, columns = (
            {5126: "<f4", 5125: "<u4"}[accessor["componentType"]],
            {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]],
        )
        raw = blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        read[name] = np.frombuffer(raw, kind).reshape(accessor["count"], columns)
    assert np.allclose(read["COLOR_0"][:2, :3], lights, atol=1e-4) and (read["COLOR_0"][:, 3] == 1).all()
    assert np.array_equal(read["POSITION"], mesh.vertices) and np.array_equal(read["indices"].reshape(-1, 3), mesh.faces)
    bounds = tree["accessors"][primitive["attributes"]["POSITION"]]
    assert np.array_equal([bounds["min"], bounds["max"]], [mesh.vertices.min(0), mesh.vertices.max(0)])


def parsed_glb(raw: bytes) -> tuple[dict, bytes]:
    """The JSON and the binary chunk, by the layout that section 4.4 of the glTF specification states."""
    magic, version, length = struct.unpack_from("<4sII", raw)
    assert (magic, version, length) == (b"glTF", 2, len(raw))
    size, kind = struct.unpack_from("<I4s", raw, 12)
    assert kind == b"JSON" and size % 4 == 0
    rest, binary = struct.unpack_from("<I4s", raw, 20 + size)
    assert binary == b"BIN\0" and rest == length - 28 - size and rest % 4 == 0
    return json.loads(raw[20 : 20 + size]), raw[28 + size :]


def test_a_meshs_silhouette_is_that_of_the_field(scene_field):
    cameras = orbit_cameras(
        8, distance=5.2, elevation_degrees=25, size=(64, 64), field_of_view_degrees=45, up=torch.tensor([0.0, 0, 1]),
        target=torch.tensor([1.0, 2, 3]),
    )  # fmt: skip
    assert silhouette_agreement(scene_field, extract_mesh(scene_field, 64), cameras).min() > 0.9


def test_a_field_that_touches_the_sphere_is_still_closed(scene_field):
    full = dataclasses.replace(scene_field, weights=ball(radius=2.0).rounded())
    mesh = extract_mesh(full, 24)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).is_watertight


def test_an_empty_field_says_so(scene_field):
    empty = dataclasses.replace(scene_field, weights=scene_field.weights.map(lambda t: t * 0))
    with pytest.raises(InputError, match=r"nothing to mesh, the density lies in"):
        extract_mesh(empty, 16)


def test_meshes_of_unknown_formats_are_refused(scene_field, tmp_path):
    with pytest.raises(InputError, match=r"\.stl"):
        save_mesh(tmp_path / "a.stl", extract_mesh(scene_field, 16))


def test_frames_become_videos_gifs_and_folders(tmp_path):
    frames = np.zeros((5, 33, 40, 3), dtype=np.uint8)
    frames[:, :, :20, 0] = 200
    save_frames(tmp_path / "a.mp4", frames)
    video = iio.imread(tmp_path / "a.mp4")
    assert video.shape == (5, 32, 40, 3) and abs(int(video[2, 16, 10, 0]) - 200) < 12
    save_frames(tmp_path / "a.gif", frames)
    assert iio.imread(tmp_path / "a.gif").shape[0] in (1, 5)  # equal frames may be merged
    for _ in range(2):
        save_frames(tmp_path / "dir", frames)
        assert sorted(p.name for p in (tmp_path / "dir").iterdir()) == [f"{i:04d}.png" for i in range(5)]
    (tmp_path / "dir" / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match="not a folder of frames"):
        save_frames(tmp_path / "dir", frames)
    (tmp_path / "dir" / "notes.txt").rename(tmp_path / "dir" / "holiday.png")
    with pytest.raises(InputError, match="not a folder of frames"):  # pictures of the user's own are not removed
        save_frames(tmp_path / "dir", frames)
    assert (tmp_path / "dir" / "holiday.png").read_text() == "keep me"
    with pytest.raises(InputError, match="unknown format"):
        save_frames(tmp_path / "a.avi", frames)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gif", "a.mp4", "dir"]


def test_a_sheet_holds_all_its_pictures(tmp_path):
    rows = [Row(torch.full((n, 8, 8, 3), 0.25), torch.full((2, 8, 8, 3), 0.5), torch.full((2, 8, 8, 3), 1.0)) for n in (1, 3)]
    sheet = comparison_sheet(rows)
    assert sheet.width == (3 + 4) * 16 + 2 * 8
    values = {value for _, value in sheet.getcolors(10**6)}
    assert {(64, 64, 64), (128, 128, 128), (255, 255, 255)} <= values
    fewer = Row(torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8, 3))  # a scene of few views
    assert comparison_sheet([*rows, fewer]).width == (3 + 2) * 16 + 8
    save_image(tmp_path / "s.png", sheet)
    assert iio.imread(tmp_path / "s.png").shape[1] == sheet.width


def test_the_report_is_one_file_with_everything_inside(tmp_path):
    sheet = tmp_path / "sheet.png"
    save_image(sheet, comparison_sheet([Row(*(torch.rand(1, 8, 8, 3),) * 3)]))
    scores = {"psnr": 20.5, "ssim": 0.9, "lpips": None}
    metrics = {"scenes": 3, "context_views": {"1": scores}, "baselines": {"mean_field": scores}, "lpips_missing": "no <lpips>"}
    train = [{"minutes": i / 10, "psnr": 10 + i} for i in range(30)]
    validation = [{"minutes": 1.0, "psnr": {"1": 15.0}}, {"minutes": 2.0, "psnr": {"1": 16.0}}]
    write_report(tmp_path / "r.html", ReportData("a & b", metrics, train, validation, [sheet], None, [tmp_path / "x.glb"]))
    page = (tmp_path / "r.html").read_text()
    assert "20.50" in page and "a &amp; b" in page and "no &lt;lpips&gt;" in page and 'href="x.glb"' in page
    assert page.count("<polyline") == 2 and "base64" in page and "http" not in page
    validation.append({"minutes": 3.0, "psnr": {"3": 17.0}})  # resumed with other numbers of views
    write_report(tmp_path / "r.html", ReportData("a", metrics, train, validation, [sheet], None, []))
    assert (tmp_path / "r.html").read_text().count("<polyline") == 3
    assert "nothing was logged" in plot({}, "x", "y")
