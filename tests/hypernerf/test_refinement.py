"""Weights corrected by how they look from the context views."""

import dataclasses

import pytest
import torch

from hypernerf.fields import FieldWeights
from hypernerf.geometry import camera_rays
from hypernerf.models import Generator, RefinementConfig
from hypernerf.models.refinement import GAIN, context_rays, hull_cells
from hypernerf.models.seen import ball_cells
from hypernerf.ops import COLORS, LEAST
from hypernerf.rendering import render_rays
from hypernerf.training import AdaptConfig, adapt
from hypernerf.types import ContextViews, InputError, RayBundle
from tests.hypernerf.test_models import refining, small, views

ALL = 10**6
CONFIG = refining(lift=4, volume_resolution=5, plane_resolution=6, plane_channels=2)


@pytest.fixture
def generator():
    torch.manual_seed(0)
    generator = Generator(CONFIG).requires_grad_(False).eval()
    for network in generator.refinement.networks.values():  # as a trained one: it writes more than nothing
        network[-1].weight.mul_(100)
    return generator


def looked_at(generator, context):
    code = generator.encode(context)
    weights, occupancy = generator.generate(code), hull_cells(code.lifted.seen, generator.refinement.fine)
    told = generator.refinement._gradients(weights, context_rays(context, ALL), context.background, occupancy)
    return weights, occupancy, told


def test_it_is_told_the_gradient_of_the_error_in_all_views(generator):
    context = views(2, 3)
    weights, occupancy, told = looked_at(generator, context)
    free = {n: t.clone().requires_grad_(n in told) for n, t in weights.tensors.items()}
    error = torch.zeros(())
    for view in range(3):  # view by view, every pixel alike
        rays = camera_rays(context.cameras)
        bundle = RayBundle(rays.origins[:, view].flatten(1, 2), rays.directions[:, view].flatten(1, 2))
        image = render_rays(FieldWeights(weights.spec, free), bundle, context.background, 8, occupancy, backend="torch").color
        error = error + (image - context.images[:, view].flatten(1, 2)).square().mean((1, 2)).sum()
    error.backward()
    for name, slope in told.items():
        assert torch.allclose(slope, free[name].grad, rtol=1e-4, atol=1e-4 * free[name].grad.abs().max().item()), name
        assert slope.abs().max() * GAIN > 1e-2


def test_a_step_against_what_it_is_told_makes_the_views_look_right(generator):
    context = views(2, 3)
    weights, _, told = looked_at(generator, context)
    changed = weights.plus({n: -20 * told[n] if n in told else torch.zeros_like(t) for n, t in weights.tensors.items()})
    rays = context_rays(context, ALL)
    errors = [(render_rays(w, rays.rays, context.background, 16).color - rays.colors).square().mean() for w in (weights, changed)]
    assert errors[1] < errors[0]


def test_few_rays_stand_for_all_of_them():
    context = views(1, 2, size=24)
    images = context.images.clone()
    images[:, :, :, :18] = 1.0  # background
    context = ContextViews(images, context.cameras, context.background)
    quantity = torch.rand(2 * 24 * 24, generator=torch.Generator().manual_seed(1))
    value = {
        tuple(ray.tolist()): q for ray, q in zip(camera_rays(context.cameras).directions.reshape(-1, 3), quantity, strict=True)
    }
    sums = {}
    for count in (150, ALL):
        rays = context_rays(context, count)
        assert rays.shares.sum() == pytest.approx(2)
        values = torch.stack([value[tuple(direction.tolist())] for direction in rays.rays.directions[0]])
        sums[count] = float((values * rays.shares[0]).sum())
    assert len(context_rays(context, ALL).colors[0]) == 2 * 24 * 24
    assert sums[ALL] == pytest.approx(2 * quantity.mean().item(), rel=1e-5) and sums[150] == pytest.approx(sums[ALL], rel=0.1)
    rays = context_rays(context, 150)
    on_object = (rays.colors[0] < 1).any(-1)
    assert on_object.float().mean() > 0.5  # a quarter of the pixels
    assert rays.shares[0][on_object].max() < rays.shares[0][~on_object].min()
    background = rays.rays.directions[0][~on_object]
    edge = camera_rays(context.cameras).directions[0, :, :, 17].reshape(-1, 3)  # the column beside the object
    beside = (background[:, None] == edge).all(-1).any(1)
    assert beside.float().mean() > 0.5  # one of 18 columns of background
    assert torch.equal(context_rays(context, 150).colors, rays.colors)
    assert context_rays(context, ALL).shares.unique().numel() == 1


def test_cells_that_a_view_sees_background_in_are_empty():
    seen = torch.zeros(1, len(ball_cells(8)), COLORS)
    assert hull_cells(seen, 8).cells[0, 4, 4, 4]
    seen[..., LEAST] = -1
    assert not hull_cells(seen, 8).cells.any()


def test_the_order_of_views_does_not_matter(generator):
    context = views(1, 3)
    turned = ContextViews(context.images.flip(1), context.cameras[:, [2, 1, 0]], context.background)
    here, there = generator(context), generator(turned)
    for name, tensor in here.tensors.items():
        assert torch.allclose(tensor, there.tensors[name], atol=1e-5), name
    plain = generator.generate(generator.encode(context))
    assert (here.tensors["planes"] - plain.tensors["planes"]).abs().max() > 1e-3


def test_adaptation_begins_with_what_was_refined(generator):
    context = views(1, 1)
    with torch.no_grad():
        code = generator.encode(context)
        draft = generator.draft(code)
        plain, refined = draft.weights, generator.refined(draft, context, code)
    rays = context_rays(context, ALL)
    result = adapt(generator, context, AdaptConfig(steps=1, learning_rate=1e-9, rays=64, samples=8, looks=1, held_out=0.5))
    known = {n: t.half().float() for n, t in refined.tensors.items()}
    assert all(torch.allclose(t, known[n], atol=1e-2) for n, t in result.weights.tensors.items())
    assert not torch.allclose(known["planes"], plain.tensors["planes"], atol=1e-2) and len(rays.colors[0])


def test_it_needs_something_to_correct_and_to_know_where():
    refinement = RefinementConfig(rays=8)
    with pytest.raises(InputError, match=r"encoder\.lift\.resolution"):
        Generator(dataclasses.replace(small(plane_resolution=6), refinement=refinement))
    with pytest.raises(InputError, match=r"refinement\.rays must be in"):
        RefinementConfig(rays=-1)
