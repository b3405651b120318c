"""Adapting a field to its context views at test time."""

import copy
import dataclasses

import pytest
import torch

from hypernerf.fields import FieldSpec
from hypernerf.geometry import camera_rays
from hypernerf.models import EncoderConfig, Generator, GeneratorConfig, HypernetworkConfig, ImageEncoderConfig, SetEncoderConfig
from hypernerf.training import AdaptConfig, adapt, context_views, store_scene
from hypernerf.training.adaptation import _divided
from hypernerf.types import InputError
from scenes.procedural import ProceduralConfig, ProceduralSource

CONFIG = GeneratorConfig(
    EncoderConfig(ImageEncoderConfig(image_size=16, channels=(8, 16)), SetEncoderConfig(width=32)),
    HypernetworkConfig(latent=16, width=32, rank=2),
    FieldSpec(width=16, depth=2, position_frequencies=2),
)
SHORT = AdaptConfig(steps=24, learning_rate=5e-3, rays=128, samples=12, looks=4)


@pytest.fixture(scope="module")
def chair():
    source = ProceduralSource(ProceduralConfig(size=16, views=6))
    return store_scene(source.load(source.scene_ids("train")[0]))


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return Generator(CONFIG).requires_grad_(False)


@pytest.mark.parametrize("views", [[0], [0, 1, 2]])
def test_held_out_rays_are_predicted_better_and_nothing_else_is_touched(chair, generator, views):
    before = copy.deepcopy(generator.state_dict())
    context, told = context_views([chair], views), []
    result = adapt(generator, context, SHORT, lambda done, total: told.append(done / total))
    curve = dict(result.held_out)
    assert sorted(curve) == [0, 6, 12, 18, 24] and result.steps in curve
    assert curve[result.steps] == max(curve.values()) > curve[0] + 0.5  # dB; an untrained field is fog
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert told[-1] == 1 and told == sorted(told)
    again = adapt(generator, context, SHORT)
    assert all(torch.equal(value, again.weights.tensors[name]) for name, value in result.weights.tensors.items())


def test_where_no_step_helps_the_forward_pass_stays(chair, generator):
    context = context_views([chair], [0, 1, 2])
    with torch.no_grad():
        forward = generator(context).rounded()
    result = adapt(generator, context, dataclasses.replace(SHORT, learning_rate=30.0))
    assert result.steps == 0 and max(dict(result.held_out).values()) == result.held_out[0][1]
    assert all(torch.equal(value, forward.tensors[name]) for name, value in result.weights.tensors.items())


def test_the_held_out_view_is_neither_read_nor_learned_from(chair):
    context = context_views([chair], [4, 1, 2])
    read, learn, check = _divided(context, SHORT)
    assert torch.equal(read.images, context.images[:, :2])
    assert torch.equal(read.cameras.camera_to_world, context.cameras.camera_to_world[:, :2])
    rays = camera_rays(context.cameras)
    assert torch.equal(check.rays.directions[0], rays.directions[0, 2].reshape(-1, 3))
    assert torch.equal(check.colors[0], context.images[0, 2].reshape(-1, 3))
    assert torch.equal(learn.rays.origins[0], rays.origins[0, :2].reshape(-1, 3))
    assert torch.equal(learn.colors[0], context.images[0, :2].reshape(-1, 3))


def test_of_a_single_view_a_share_of_the_rays_is_held_out(chair):
    context = context_views([chair], [3])
    read, learn, check = _divided(context, SHORT)
    assert read.images.shape[1] == 1 and len(check) == 26 and len(learn) == 256 - 26
    directions = torch.cat([learn.rays.directions[0], check.rays.directions[0]])
    assert len(directions.unique(dim=0)) == 256


def test_one_scene_at_a_time(chair, generator):
    with pytest.raises(InputError, match="one scene"):
        adapt(generator, context_views([chair, chair], [0, 1]), SHORT)
    with pytest.raises(InputError, match="negative"):
        AdaptConfig(steps=-1)
