"""Weights that are uncertain: their distribution, the score that teaches it, and what it is measured by."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from hypernerf.fields import FieldDistribution, load_spread, save_spread
from hypernerf.models import Generator
from hypernerf.rendering import RenderSettings
from hypernerf.training import Trainer, context_views
from hypernerf.training.losses import LossConfig
from hypernerf.training.uncertainty import (
    EVIDENCE,
    energy_score,
    predicted_deviation,
    view_values,
)
from hypernerf.types import InputError, RenderOutput

from ..conftest import ball, orbit, tiny

pytestmark = pytest.mark.usefixtures("_one_thread")


def uncertain(**train):
    experiment = tiny(**train)
    return dataclasses.replace(experiment, hypernetwork=dataclasses.replace(experiment.hypernetwork, factors=3))


@pytest.fixture
def distribution(stored) -> FieldDistribution:
    torch.manual_seed(0)
    generator = Generator(uncertain().generator)
    with torch.no_grad():
        return generator.distribution(generator.encode(context_views(stored[:2], [0, 1])))


def first(distribution):
    """Its first scene alone."""
    return FieldDistribution(distribution.mean[:1], {name: value[:1] for name, value in distribution.factors.items()})


def test_samples_have_the_mean_and_the_covariance_of_their_factors(distribution):
    noise = torch.randn(4000, 2, 3, generator=torch.Generator().manual_seed(0))
    for name in ("layer_1", "planes", "volume"):
        mean, factors = distribution.mean.tensors[name][1].flatten(), distribution.factors[name][1].flatten(1)
        drawn = distribution.sample(noise).tensors[name].unflatten(0, (len(noise), 2))[:, 1].flatten(1)
        covariance = torch.cov(drawn[:, :6].T)
        exact = factors[:, :6].T @ factors[:, :6]
        assert torch.allclose(drawn.mean(0), mean, atol=5 * float(factors.norm(dim=0).max()) / math.sqrt(len(noise)))
        assert (covariance - exact).norm() < 0.15 * exact.norm()


def test_no_noise_is_the_mean_and_the_plain_generator(stored, distribution):
    again = distribution.sample(torch.zeros(1, 2, 3)).tensors
    torch.manual_seed(0)
    plain = Generator(uncertain().generator)(context_views(stored[:2], [0, 1])).tensors
    for name, value in distribution.mean.tensors.items():
        assert torch.equal(again[name], value)
        assert torch.equal(plain[name], value)


def test_scenes_are_uncertain_apart(distribution):
    noise = torch.zeros(1, 2, 3)
    noise[0, 1] = 1.0
    moved = distribution.sample(noise)
    assert torch.equal(moved.tensors["volume"][0], distribution.mean.tensors["volume"][0])
    assert not torch.equal(moved.tensors["volume"][1], distribution.mean.tensors["volume"][1])


def test_factors_learn_without_changing_the_mean(stored, tmp_path):
    """The gradient of the energy score reaches the spreads alone: all else moves as it would without it."""
    with_spread = Trainer(uncertain(steps=3, loss=LossConfig(hull=0, spread=1.0)), stored, tmp_path / "a")
    without = Trainer(uncertain(steps=3, loss=LossConfig(hull=0)), stored, tmp_path / "b")
    start = {name: value.clone() for name, value in with_spread.model.state_dict().items()}
    for trainer in (with_spread, without):
        trainer.config = dataclasses.replace(trainer.config, clip=1e9)  # clipping shares the norm of all gradients
        for _ in range(3):
            trainer._timed_step()
    changed = {n for n, v in with_spread.model.state_dict().items() if not torch.equal(v, without.model.state_dict()[n])}
    assert changed
    assert all(name.startswith("hypernetwork.spreads.") for name in changed)
    assert all(torch.equal(start[n], v) for n, v in without.model.state_dict().items() if "spreads" in n)


def test_the_energy_score_is_least_for_the_right_deviation():
    """x = s z, y = z': the expected score over s has its least value at s = 1, in any dimension."""
    generator = torch.Generator().manual_seed(1)
    samples, truth = torch.randn(2, 200_000, 3, generator=generator), torch.randn(200_000, 3, generator=generator)
    scores = {scale: float(energy_score(scale * samples, truth).mean()) for scale in (0.0, 0.5, 0.8, 1.0, 1.25, 2.0)}
    assert min(scores, key=scores.__getitem__) == 1.0
    # E|y| of a normal vector in three dimensions is 2 sqrt(2 / pi); two samples are sqrt(2) as far apart
    assert scores[1.0] == pytest.approx((math.sqrt(2) - math.sqrt(0.5)) * 2 * math.sqrt(2 / math.pi), rel=0.01)


def test_the_energy_score_is_the_slow_sum():
    samples, truth = torch.rand(4, 5, 3), torch.rand(5, 3)
    slow = torch.stack([(x - truth).norm(dim=-1) for x in samples]).mean(0)
    pairs = [(a - b).norm(dim=-1) for a, b in itertools.permutations(samples, 2)]
    assert torch.allclose(energy_score(samples, truth), slow - 0.5 * torch.stack(pairs).mean(0), atol=1e-3)


def test_deviation_comes_from_the_factors(stored, distribution):
    one = first(distribution)
    scene, settings = stored[0], tiny().render
    certain = FieldDistribution(one.mean, {name: value * 0 for name, value in one.factors.items()})
    _, none = predicted_deviation(certain, scene.cameras[:2], scene.background, settings)
    mean, some = predicted_deviation(one, scene.cameras[:2], scene.background, settings)
    assert float(none.abs().max()) == 0
    assert mean.shape == (2, 16, 16, 3)
    assert float(some.max()) > 1e-3


def test_what_a_view_tells_is_that_of_a_linear_gaussian(monkeypatch, stored, distribution):
    """What is left of z when A z + e is seen, by the other formula, from the image's covariance: I - A^T (A A^T + s^2 I)^-1 A."""
    one = first(distribution)
    linear = torch.randn(8, 4 * 4 * 3, generator=torch.Generator().manual_seed(0)) * 3

    def render(weights, cameras, background, settings):
        value = weights.tensors["layer_0"][0].flatten()[:8] @ linear
        image = value.reshape(1, 4, 4, 3).expand(len(cameras), -1, -1, -1)
        return RenderOutput(image, image[..., 0], image[..., 0])

    monkeypatch.setattr("hypernerf.training.uncertainty.render_views", render)
    values = view_values(one, stored[0].cameras[:2], stored[0].background, tiny().render)
    image = (one.factors["layer_0"][0].flatten(1)[:, :8] @ linear).double()
    noise = torch.eye(48).double() * 48 / EVIDENCE
    left = torch.eye(3).double() - image @ torch.linalg.inv(image.T @ image + noise) @ image.T
    share = torch.trace(image @ image.T @ left) / torch.trace(image @ image.T)
    assert values.tolist() == pytest.approx([1 - float(share)] * 2, rel=1e-3)
    assert 0.05 < float(values[0]) < 0.999


def test_the_view_that_sees_the_uncertain_side_is_suggested():
    """A ball whose color is uncertain where x > 0: the camera there would tell most, the one opposite least."""
    mean = ball()
    factors = {name: torch.zeros(1, 1, *value.shape[1:]) for name, value in mean.tensors.items()}
    towards = mean.tensors["layer_0"][0, :, 0] > 0.7  # units that are on where x > 0 alone
    factors["layer_1"][0, 0, 1:, towards] = 1.0
    cameras = orbit(4)
    values = view_values(FieldDistribution(mean, factors), cameras, torch.ones(3), RenderSettings(samples=24, grid=24))
    order = cameras.positions[:, 0].argsort()
    assert int(values.argmax()) == int(order[-1])
    assert int(values.argmin()) == int(order[0])


def test_factors_lie_beside_the_scene_file(distribution, tmp_path):
    one, scene = first(distribution), tmp_path / "a.field.safetensors"
    save_spread(scene, one)
    again = load_spread(scene, one.mean)
    assert all(torch.allclose(again.factors[n], v, atol=1e-3) for n, v in one.factors.items())
    with pytest.raises(InputError, match="not the factors of"):
        load_spread(scene, ball())
    with pytest.raises(InputError, match="no factors beside"):
        load_spread(tmp_path / "b.field.safetensors", one.mean)


def test_spread_without_factors_is_refused(stored, tmp_path):
    with pytest.raises(InputError, match=r"hypernetwork\.factors"):
        Trainer(tiny(steps=3, loss=LossConfig(hull=0, spread=1.0)), stored, tmp_path)
