import json
import math

import pytest
import torch
from safetensors.torch import save_file

from hypernerf.fields import (
    FieldSpec,
    FieldWeights,
    initial_weights,
    load_scene_file,
    radiance_field,
    save_scene_file,
)  # fmt: skip
from hypernerf.geometry import cell_points, normalize_cameras
from hypernerf.ops import frequency_encoding, sample_planes, sample_volume
from hypernerf.rendering import render_views
from hypernerf.types import InputError
from tests.conftest import ball, orbit


def test_the_encoding_agrees_with_sines_and_cosines():
    values = torch.rand(50, 3, dtype=torch.float64) * 2 - 1
    encoded = frequency_encoding(values, 10)
    assert encoded.shape == (50, 64)
    expected = [values]
    for octave in range(10):
        expected += [torch.sin(2.0**octave * math.pi * values), torch.cos(2.0**octave * math.pi * values)]
    expected.append(torch.ones(50, 1))
    assert torch.allclose(encoded, torch.cat(expected, dim=-1), atol=1e-10)
    assert (frequency_encoding(values.float(), 10).double() - encoded).abs().max() < 1e-3


def test_planes_and_volume_interpolate_linearly():
    axis = (torch.arange(5) + 0.5) * (2 / 5) - 1  # the cells' centers
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    plane = (2 * columns - 3 * rows)[None]  # linear, so interpolation is exact
    planes = torch.stack([plane, 10 * plane, 100 * plane])[None]
    points = (torch.rand(1, 20, 3) * 2 - 1) * 0.8  # between centers
    x, y, z = points[0].unbind(-1)
    expected = torch.stack([2 * x - 3 * y, 10 * (2 * x - 3 * z), 100 * (2 * y - 3 * z)], dim=-1)
    assert torch.allclose(sample_planes(planes, points)[0], expected, atol=1e-3)
    grid_z, grid_y, grid_x = torch.meshgrid(axis, axis, axis, indexing="ij")
    volume = (grid_x + 10 * grid_y + 100 * grid_z)[None, None, None]
    assert torch.allclose(sample_volume(volume, points)[0, :, 0], x + 10 * y + 100 * z, atol=1e-3)
    centers = cell_points(5)  # what lifts features into volumes and what reads them mean the same places
    assert torch.allclose(sample_volume(volume, centers[None])[0, :, 0], volume.flatten(), atol=1e-3)


@pytest.mark.parametrize(
    "spec",
    [
        FieldSpec(width=16, depth=1, position_frequencies=2), FieldSpec(width=32, direction_frequencies=2),
        FieldSpec(width=16, plane_resolution=4, volume_resolution=3),
    ],
    ids=["plain", "directions", "grids"],
)  # fmt: skip
def test_a_new_field_is_fog_with_density_and_color_in_range(spec):
    weights = FieldWeights(spec, {name: value[None] for name, value in initial_weights(spec).items()})
    points = torch.rand(1, 200, 3) * 2 - 1
    output = radiance_field(points, torch.nn.functional.normalize(points, dim=-1), weights)
    assert (output.density > 0).all() and 0.1 < output.density.mean() < 3
    assert (output.color > 0.2).all() and (output.color < 0.8).all()
    assert sum(math.prod(s) for s in spec.param_shapes.values()) == sum(v.numel() for v in initial_weights(spec).values())


def test_gradients_of_the_field_in_float64(random_field):
    names = list(random_field.tensors)
    tensors = [random_field.tensors[name].double().requires_grad_() for name in names]
    points = (torch.rand(1, 4, 3, dtype=torch.float64) * 2 - 1) * 0.9

    def field(*values):
        output = radiance_field(points, None, FieldWeights(random_field.spec, dict(zip(names, values, strict=True))))
        return output.density, output.color

    assert torch.autograd.gradcheck(field, tensors, atol=1e-4)


def test_density_does_not_depend_on_the_direction_of_view():
    spec = FieldSpec(width=16, direction_frequencies=3)
    weights = FieldWeights(spec, {name: value[None] for name, value in initial_weights(spec).items()})
    points = torch.rand(1, 30, 3)
    first = radiance_field(points, torch.tensor([0.0, 0, 1]).expand(1, 30, 3), weights)
    second = radiance_field(points, torch.tensor([0.0, 1, 0]).expand(1, 30, 3), weights)
    assert torch.equal(first.density, second.density) and not torch.equal(first.color, second.color)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        FieldWeights(FieldSpec(), {"layer_0": torch.zeros(1, 64, 64)})
    with pytest.raises(InputError, match="width"):
        FieldSpec(width=48)


def test_a_scene_file_gives_the_same_pixels_to_the_bit(tmp_path, scene_field):
    path = tmp_path / "ball.field.safetensors"
    save_scene_file(path, scene_field)
    again = load_scene_file(path)
    assert again.transform == scene_field.transform and again.up == scene_field.up and again.name == "ball"
    cameras = orbit(2)
    before = render_views(scene_field.weights, cameras, torch.ones(3))
    after = render_views(again.weights, cameras, torch.ones(3))
    assert torch.equal(before.color, after.color) and torch.equal(before.depth, after.depth)
    assert before.opacity.max() > 0.9
    assert [p.name for p in tmp_path.iterdir()] == ["ball.field.safetensors"]
    assert normalize_cameras(cameras, again.transform).positions.shape == (2, 3)


def test_damaged_scene_files_are_named(tmp_path, scene_field):
    path = tmp_path / "ball.field.safetensors"
    save_scene_file(path, scene_field)
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"ball\.field\.safetensors"):
            load_scene_file(path)
    tensors = {name: value[0] for name, value in ball().tensors.items()}
    save_file(tensors, path, {"hypernerf": json.dumps({"version": 99})})
    with pytest.raises(InputError, match="version 99"):
        load_scene_file(path)
    save_file(tensors, path, {"hypernerf": json.dumps({"version": 1, "spec": {"width": 64}})})
    with pytest.raises(InputError, match="fit together"):
        load_scene_file(path)
    with pytest.raises(InputError, match="no such scene file"):
        load_scene_file(tmp_path / "none")
