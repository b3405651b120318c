import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.geometry import (
    camera_rays,
    estimate_scene_sphere,
    from_opengl,
    intersect_sphere,
    is_rigid,
    look_at,
    normalize_cameras,
    orbit_cameras,
    ray_points,
    to_opengl,
)  # fmt: skip
from hypernerf.types import Cameras, InputError, RayBundle, SceneTransform

coordinate = st.floats(-5, 5, allow_nan=False, width=32)


@given(st.tuples(coordinate, coordinate, coordinate))
@settings(max_examples=60, deadline=None)
def test_look_at_is_rigid_and_faces_its_target(position):
    target = torch.tensor([0.3, -0.2, 0.1])
    eye = torch.tensor(position)
    if (eye - target).norm() < 1e-2:
        return
    pose = look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))
    assert bool(is_rigid(pose, 1e-4))
    assert torch.allclose(pose[:3, 2], torch.nn.functional.normalize(target - eye, dim=0), atol=1e-5)


def test_look_at_puts_up_upwards():
    pose = look_at(torch.tensor([3.0, 1.0, 0.5]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    assert -pose[2, 1] > 0.9  # the image's y axis points down


def test_rays_of_a_pixel_follow_the_pinhole_formula():
    pose = look_at(torch.tensor([2.0, 1.0, -1.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    cameras = Cameras(pose[None], torch.tensor([[30.0, 40.0, 11.0, 7.5]]), 16, 20)
    rays = camera_rays(cameras)
    for row, column in ((0, 0), (5, 13), (15, 19)):
        local = torch.tensor([(column + 0.5 - 11.0) / 30, (row + 0.5 - 7.5) / 40, 1.0])
        expected = pose[:3, :3] @ (local / local.norm())
        assert torch.allclose(rays.directions[0, row, column], expected, atol=1e-6)
        assert torch.equal(rays.origins[0, row, column], pose[:3, 3])
    some = camera_rays(cameras, torch.tensor([[5 * 20 + 13]]))
    assert torch.equal(some.directions[0, 0], rays.directions[0, 5, 13])


def test_a_ray_meets_the_sphere_where_it_should():
    rays = RayBundle(torch.tensor([[0.0, 0, -3], [0, 0, 0], [0, 2, -3], [0, 0, 3]]), torch.tensor([[0.0, 0, 1]] * 4))
    near, far = intersect_sphere(rays)
    assert torch.allclose(near, torch.tensor([2.0, 0, 3, 0])) and torch.allclose(far, torch.tensor([4.0, 1, 3, 0]))


@given(st.tuples(coordinate, coordinate, coordinate), st.tuples(coordinate, coordinate, coordinate))
@settings(max_examples=60, deadline=None)
def test_ends_of_a_chord_lie_on_the_sphere_or_at_the_origin(origin, direction):
    d = torch.tensor(direction)
    if d.norm() < 1e-2:
        return
    rays = RayBundle(torch.tensor(origin)[None], torch.nn.functional.normalize(d, dim=0)[None])
    near, far = intersect_sphere(rays)
    assert 0 <= near <= far
    if far > near + 1e-2:
        ends = ray_points(rays, torch.stack([near, far], dim=-1))[0].norm(dim=-1)
        assert abs(ends[1] - 1) < 1e-3 and (near == 0 or abs(ends[0] - 1) < 1e-3)


def test_opengl_axes_are_the_opencv_ones_turned_about_x():
    pose = look_at(torch.tensor([2.0, 1.0, -1.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    other = to_opengl(pose)
    assert torch.equal(other[:3, 0], pose[:3, 0]) and torch.equal(other[:3, 1], -pose[:3, 1])
    assert torch.equal(other[:3, 2], -pose[:3, 2]) and torch.equal(from_opengl(other), pose)


@pytest.mark.parametrize("spoil", ["nan", "scale", "mirror", "row"])
def test_what_is_no_pose_is_refused(spoil):
    pose = torch.eye(4)
    if spoil == "nan":
        pose[0, 3] = math.nan
    elif spoil == "scale":
        pose[:3, :3] *= 1.1
    elif spoil == "mirror":
        pose[0, 0] = -1
    else:
        pose[3, 0] = 0.5
    assert not bool(is_rigid(pose))


def test_the_scene_sphere_is_found_from_the_cameras():
    target, up = torch.tensor([4.0, -1.0, 2.0]), torch.tensor([0.0, 0.0, 1.0])
    cameras = orbit_cameras(7, distance=3.0, elevation_degrees=30, size=(32, 48), field_of_view_degrees=40, up=up, target=target)
    sphere = estimate_scene_sphere(cameras)
    assert sphere.center == pytest.approx(target.tolist(), abs=1e-4)
    assert sphere.radius == pytest.approx(3.0 * math.sin(math.radians(20)), rel=1e-4)
    assert torch.allclose(normalize_cameras(cameras, sphere).positions.norm(dim=-1), torch.tensor(3.0 / sphere.radius), rtol=1e-4)


def test_parallel_cameras_have_no_scene_sphere():
    pose = torch.eye(4).repeat(3, 1, 1)
    pose[:, 0, 3] = torch.arange(3.0)
    with pytest.raises(InputError, match=r"source\.center"):
        estimate_scene_sphere(Cameras(pose, torch.tensor([30.0, 30, 16, 16]).expand(3, 4), 32, 32))


def test_a_sphere_without_extent_is_refused():
    with pytest.raises(InputError, match="radius"):
        SceneTransform(radius=0.0)
