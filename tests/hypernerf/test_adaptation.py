"""Adapting a field to its context views at test time."""

import copy
import dataclasses
import math

import pytest
import torch

from hypernerf.fields import FieldSpec
from hypernerf.geometry import camera_rays
from hypernerf.models import EncoderConfig, Generator, GeneratorConfig, HypernetworkConfig, ImageEncoderConfig, SetEncoderConfig
from hypernerf.rendering import render_rays
from hypernerf.training import AdaptConfig, adapt, context_views, store_scene
from hypernerf.training.adaptation_rays import AdaptationRays, context_view_rays, divided, remembered_rays, turned_cameras
from hypernerf.types import InputError, RayBundle
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
    read, learn, check = divided(context, SHORT.held_out, SHORT.seed)
    assert torch.equal(read.images, context.images[:, :2])
    assert torch.equal(read.cameras.camera_to_world, context.cameras.camera_to_world[:, :2])
    rays = camera_rays(context.cameras)
    assert torch.equal(check.rays.directions[0], rays.directions[0, 2].reshape(-1, 3))
    assert torch.equal(check.colors[0], context.images[0, 2].reshape(-1, 3))
    assert torch.equal(learn.rays.origins[0], rays.origins[0, :2].reshape(-1, 3))
    assert torch.equal(learn.colors[0], context.images[0, :2].reshape(-1, 3))


def test_of_a_single_view_a_share_of_the_rays_is_held_out(chair):
    context = context_views([chair], [3])
    read, learn, check = divided(context, SHORT.held_out, SHORT.seed)
    assert read.images.shape[1] == 1 and len(check) == 26 and len(learn) == 256 - 26
    directions = torch.cat([learn.rays.directions[0], check.rays.directions[0]])
    assert len(directions.unique(dim=0)) == 256


def test_one_scene_at_a_time(chair, generator):
    with pytest.raises(InputError, match="one scene"):
        adapt(generator, context_views([chair, chair], [0, 1]), SHORT)
    with pytest.raises(InputError, match="negative"):
        AdaptConfig(steps=-1)


def test_rays_are_drawn_by_chance_and_count_alike():
    chances = torch.tensor([1.0, 0.0, 0.25, 0.5])
    numbers = torch.arange(4.0)
    rays = AdaptationRays(
        RayBundle(*(numbers[None, :, None].expand(1, 4, 3),) * 2), numbers[None, :, None].expand(1, 4, 3), chances
    )
    drawn = rays.draw(70_000, torch.Generator().manual_seed(0))
    which = drawn.colors[0, :, 0].long()
    assert torch.equal(drawn.rays.origins, drawn.colors)
    counts = which.bincount(minlength=4) / 70_000
    assert torch.allclose(counts, chances / chances.sum(), atol=0.01) and counts[1] == 0
    values = torch.tensor([3.0, 0.0, -1.0, 7.0])  # what is never drawn is 0 here
    assert (values[which] * drawn.importance[0]).mean().item() == pytest.approx(values.mean().item(), abs=0.05)


def test_most_rays_that_are_drawn_see_the_object(chair):
    rays = context_view_rays(context_views([chair], [0, 1]))
    shown = (rays.colors[0] - chair.background).abs().amax(-1) > 0.1
    drawn = rays.draw(2000, torch.Generator().manual_seed(0))
    share = ((drawn.colors[0] - chair.background).abs().amax(-1) > 0.1).float().mean()
    assert share > 1.5 * shown.float().mean()


def test_cameras_are_turned_around_the_object(chair):
    cameras = chair.cameras[[0, 3]]
    turned = turned_cameras(cameras)
    pose = turned.camera_to_world.double()
    assert torch.allclose(pose[:, :3, :3] @ pose[:, :3, :3].mT, torch.eye(3, dtype=torch.float64).expand(8, 3, 3), atol=1e-5)
    assert torch.allclose(pose[:, :3, :3].det(), torch.ones(8, dtype=torch.float64), atol=1e-5)
    up = torch.nn.functional.normalize(-cameras.camera_to_world[:, :3, 1].mean(0), dim=0)
    for number in range(8):
        start, end = (c.camera_to_world[i, :3, 3] for c, i in ((cameras, number % 2), (turned, number)))
        assert (end @ up).item() == pytest.approx((start @ up).item(), abs=1e-5)
        flat = [torch.nn.functional.normalize(p - (p @ up) * up, dim=0) for p in (start, end)]
        assert (flat[0] @ flat[1]).item() == pytest.approx(math.cos((number + 0.5) * math.pi / 4), abs=1e-4)
        assert torch.linalg.cross(*flat) @ up * math.sin((number + 0.5) * math.pi / 4) >= 0  # all one way around


def test_what_is_remembered_is_what_the_field_shows(chair, generator):
    context = context_views([chair], [0, 1])
    with torch.no_grad():
        weights = generator(context)
        rays = remembered_rays(weights, context, 300, 64, torch.Generator().manual_seed(0))
        truth = render_rays(weights, rays.rays, context.background, 256)
    assert (rays.colors - truth.color).abs().max() < 0.02
    shown = truth.opacity[0]
    assert (rays.chances[shown > 0.03] == 1).all() and (rays.chances[shown < 0.01] < 0.1).all()
    assert (shown > 0.03).any() and (shown < 0.01).any()


def test_memory_holds_what_no_image_shows(chair, generator):
    context = context_views([chair], [0])
    with torch.no_grad():
        before = generator(context)
        rays = remembered_rays(before, context, 400, 32, torch.Generator().manual_seed(1)).rays

    def moved(memory: float) -> float:
        config = dataclasses.replace(SHORT, memory=memory)
        after = adapt(generator, context, config)
        assert after.steps > 0
        here, there = (render_rays(w, rays, context.background, 32).color for w in (before, after.weights))
        return (here - there).square().mean().item()

    assert moved(1.0) < 0.7 * moved(0.0)
