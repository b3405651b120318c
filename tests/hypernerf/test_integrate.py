"""Pixels from a field's numbers, against loops over rays and samples in float64, and their gradient against torch's own there."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.ops import activated, integrate
from hypernerf.types import RaySamples

SHIFT, SCALE = 3.0, 10.0
# Of colors and opacity, at most 1, of depths up to 3, and of gradients against the largest or 1. The reference is run in
# float64: in float32 its running sums lose digits where optical depths are in the hundreds.
TOLERANCE = {"cpu": 2e-6, "torch": 2e-7}  # by_loops gives float32


def by_loops(values, where, background):
    """Color, opacity and depth, sample by sample."""
    scenes, rays, samples, _ = values.shape
    color, opacity, depth = torch.zeros(scenes, rays, 3), torch.zeros(scenes, rays), torch.zeros(scenes, rays)
    for s in range(scenes):
        for r in range(rays):
            through, total, distance, seen = 1.0, 0.0, 0.0, [0.0, 0.0, 0.0]
            for i in range(samples):
                h, *c = (float(v) for v in values[s, r, i])
                density = SCALE * (math.log1p(math.exp(-abs(h - SHIFT))) + max(h - SHIFT, 0))
                passed = math.exp(-density * float(where.lengths[s, r, i]))
                share = through * (1 - passed)
                total, distance = total + share, distance + share * float(where.distances[s, r, i])
                seen = [a + share / (1 + math.exp(-b)) for a, b in zip(seen, c, strict=True)]
                through *= passed
            color[s, r] = torch.tensor([a + (1 - total) * float(b) for a, b in zip(seen, background[s], strict=True)])
            opacity[s, r], depth[s, r] = total, distance / total if total > 0.5 else 0
    return color, opacity, depth


def example(scenes, rays, samples, seed=0, one_length=True, spread=4.0):
    """Values, places and background in which some rays see nothing and some are opaque at once."""
    generator = torch.Generator().manual_seed(seed)
    values = spread * torch.randn(scenes, rays, samples, 4, generator=generator)
    lengths = torch.rand(scenes, rays, samples, generator=generator) * 2 / samples
    lengths[:, ::3] = 0
    lengths = lengths[..., :1].expand_as(lengths) if one_length else lengths
    distances = 0.5 + torch.rand(scenes, rays, samples, generator=generator).cumsum(-1) * 2 / samples
    return values, RaySamples(distances, lengths), torch.rand(scenes, 3, generator=generator)


def double(where):
    return RaySamples(where.distances.double(), where.lengths.double())


def gradient(values, where, background, backend):
    """Of a sum of color, opacity and depth, each with weights of its own."""
    values = values.detach().requires_grad_()
    seen = integrate(values, where, background, SHIFT, SCALE, backend)
    generator = torch.Generator().manual_seed(1)
    parts = [(v * torch.randn(v.shape, generator=generator).to(v)).sum() for v in (seen.color, seen.opacity, seen.depth)]
    return torch.autograd.grad(sum(parts), values)[0]


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@given(
    scenes=st.integers(1, 3), rays=st.integers(1, 12), samples=st.sampled_from([1, 2, 3, 7, 8, 12, 17, 40]),
    one_length=st.booleans(), spread=st.sampled_from([0.5, 4.0, 40.0]), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_pixels_are_those_of_loops_and_gradients_those_in_float64(backend, scenes, rays, samples, one_length, spread, seed):
    values, where, background = example(scenes, rays, samples, seed, one_length, spread)
    exact = values.double(), double(where), background.double()
    given = exact if backend == "torch" else (values, where, background)
    seen = integrate(*given, SHIFT, SCALE, backend)
    color, opacity, depth = by_loops(values, where, background)
    tolerance = TOLERANCE[backend]
    assert (seen.color - color).abs().max() <= tolerance and (seen.opacity - opacity).abs().max() <= tolerance
    sure = (opacity - 0.5).abs() > 1e-5  # nearer than that, rounding says whether there is a depth
    assert ((seen.depth - depth).abs()[sure] <= 2 * tolerance).all()
    if backend == "cpu":
        found, right = gradient(*given, backend)[sure], gradient(*exact, "torch")[sure]
        assert not sure.any() or (found - right).abs().max() <= tolerance * max(1.0, float(right.abs().max()))


def test_the_reference_has_the_gradient_of_finite_differences():
    values, where, background = example(1, 4, 3)
    where, background = double(where), background.double()
    values = (0.3 * values + 1).double().requires_grad_()

    def pixels(values):
        seen = integrate(values, where, background, SHIFT, SCALE, "torch")
        return seen.color, seen.opacity, seen.depth

    assert torch.autograd.gradcheck(pixels, values)


@pytest.mark.parametrize("shape", [(2, 3000, 12), (1, 3, 1500)])
def test_all_threads_and_long_rays_see_the_same(shape):
    values, where, background = example(*shape)
    exact = values.double(), double(where), background.double()
    seen, right = integrate(values, where, background, SHIFT, SCALE, "cpu"), integrate(*exact, SHIFT, SCALE, "torch")
    assert (seen.color - right.color).abs().max() <= TOLERANCE["cpu"]
    slopes, wanted = gradient(values, where, background, "cpu"), gradient(*exact, "torch")
    sure = (right.opacity - 0.5).abs() > 1e-5
    assert (slopes - wanted)[sure].abs().max() <= TOLERANCE["cpu"] * max(1.0, float(wanted.abs().max()))


def test_faint_fog_keeps_its_digits():
    """1 - exp(-x) of a small x, and log(1 + exp(h)) of a low h, would lose them if they were computed so."""
    values, where, background = example(1, 9, 5)
    values[..., 0] = -17.0
    seen = integrate(values, where, background, SHIFT, SCALE, "cpu").opacity.double()
    right = integrate(values.double(), double(where), background.double(), SHIFT, SCALE, "torch").opacity
    assert right[0, 1] < 1e-7 and torch.allclose(seen, right, rtol=1e-5, atol=0)


@pytest.mark.parametrize("place", range(4))
def test_numbers_that_are_none_are_not_hidden(place):
    """A step of training whose values are not finite is left out: so they must reach the pixels."""
    values, where, background = example(1, 2, 3)
    values[0, 1, 1, place] = math.nan
    seen, right = (integrate(values, where, background, SHIFT, SCALE, name) for name in ("cpu", "torch"))
    assert torch.equal(seen.color.isnan(), right.color.isnan()) and torch.equal(seen.opacity.isnan(), right.opacity.isnan())
    assert seen.color[0, 1].isnan().any() and gradient(values, where, background, "cpu")[0, 1].isnan().any()
    assert torch.allclose(seen.color, right.color, atol=TOLERANCE["cpu"], equal_nan=True)


@pytest.mark.parametrize(("place", "number", "opacity"), [(0, math.inf, 1.0), (0, -math.inf, 0.0), (2, math.inf, None)])
def test_infinite_numbers_are_limits(place, number, opacity):
    values, where, background = example(1, 2, 1)
    values[0, 1, 0, place] = number
    seen = integrate(values, where, background, SHIFT, SCALE, "cpu")
    limit = integrate(values.double().clamp(-1e6, 1e6), double(where), background.double(), SHIFT, SCALE, "torch")
    assert (seen.color - limit.color).abs().max() <= TOLERANCE["cpu"]
    assert opacity is None or (seen.opacity[0, 1] - opacity).abs() < 1e-30


def test_what_the_kernel_does_not_take_is_left_to_the_reference():
    values, where, background = example(1, 4, 3)
    learned = background.clone().requires_grad_()
    integrate(values, where, learned, SHIFT, SCALE, "cpu").color.sum().backward()
    assert learned.grad is not None and learned.grad.abs().sum() > 0
    assert integrate(values.double(), double(where), background.double(), SHIFT, SCALE, "cpu").color.dtype == torch.float64
    assert integrate(
        values[:, :0], RaySamples(where.distances[:, :0], where.lengths[:, :0]), background, SHIFT, SCALE
    ).color.shape == (1, 0, 3)
    for wrong in ((values[..., :3], where, background), (values[:, :2], where, background), (values, where, background[:, :2])):
        with pytest.raises(ValueError, match="do not fit together"):
            integrate(*wrong, SHIFT, SCALE, "cpu")


def test_activations():
    field = activated(torch.tensor([[3.0, 0.0, 100.0, -100.0]]), SHIFT, SCALE)
    assert torch.allclose(field.density, torch.tensor([10 * math.log(2)]))
    assert torch.allclose(field.color, torch.tensor([[0.5, 1.0, 0.0]]))
