"""The product of gathered rows, against a loop over groups in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.ops import gathered_product

TOLERANCE = 1e-5  # relative to the largest value


def by_loops(values, source, weight):
    places = values.shape[1]
    rows = [[torch.cat([v[p] if p < places else torch.zeros_like(v[0]) for p in group]) for group in source] for v in values]
    return torch.stack([torch.stack([weight @ row for row in scene], dim=-1) for scene in rows])


def example(scenes, places, groups, within, colors, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(scenes, places, colors, generator=generator)
    source = torch.randint(0, places + 1, (groups, within), generator=generator, dtype=torch.int32)
    return values, source, torch.randn(channels, within * colors, generator=generator).requires_grad_()


def close(found, right):
    return (found.double() - right).abs().max() <= TOLERANCE * right.abs().max().clamp_min(1e-3)


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@given(
    scenes=st.integers(1, 3), places=st.integers(1, 9), groups=st.integers(1, 60), within=st.integers(1, 5),
    colors=st.integers(1, 9), channels=st.integers(1, 40), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_outputs_and_gradients_are_those_of_loops_over_groups(backend, scenes, places, groups, within, colors, channels, seed):
    values, source, weight = example(scenes, places, groups, within, colors, channels, seed)
    exact = weight.detach().double().requires_grad_()
    right = by_loops(values.double(), source, exact)
    found = gathered_product(values, source, weight, backend)
    above = torch.randn(right.shape, generator=torch.Generator().manual_seed(seed))
    (gradient,) = torch.autograd.grad(found, weight, above)
    (exact_gradient,) = torch.autograd.grad(right, exact, above.double())
    assert found.shape == (scenes, channels, groups) and close(found, right.detach()) and close(gradient, exact_gradient)


def test_many_groups_are_added_up_alike_by_any_number_of_threads():
    values, source, weight = example(3, 500, 1100, 4, 8, 24)

    def gradient():
        return torch.autograd.grad(gathered_product(values, source, weight, "cpu").square().sum(), weight)[0]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = gradient()
        torch.set_num_threads(3)
        assert torch.equal(gradient(), alone)
    finally:
        torch.set_num_threads(before)
    exact = weight.detach().double().requires_grad_()
    right = gathered_product(values.double(), source, exact, "torch").square().sum()
    assert close(alone, torch.autograd.grad(right, exact)[0])


def test_values_have_gradients_where_they_are_asked_for():
    values, source, weight = example(2, 5, 7, 3, 4, 6)
    values.requires_grad_()
    found, right = (torch.autograd.grad(gathered_product(values, source, weight, b).sum(), values)[0] for b in ("auto", "torch"))
    assert torch.equal(found, right) and found.abs().sum() > 0


@pytest.mark.parametrize("place", [-1, 6])
def test_places_that_are_not_there_are_refused(place):
    values, source, weight = example(1, 5, 4, 2, 3, 2)
    source[1, 1] = place
    with pytest.raises(ValueError, match=r"places in 0\.\.5"):
        gathered_product(values, source, weight, "cpu")


def test_shapes_that_do_not_fit_are_refused():
    values, source, weight = example(1, 5, 4, 2, 3, 2)
    with pytest.raises(ValueError, match="do not fit together"):
        gathered_product(values, source, weight[:, 1:], "cpu")


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@pytest.mark.parametrize(("scenes", "groups"), [(0, 4), (2, 0)])
def test_nothing_is_gathered_from_nothing(scenes, groups, backend):
    values, source, weight = example(2, 5, 4, 2, 3, 2)
    assert gathered_product(values[:scenes], source[:groups], weight, backend).shape == (scenes, len(weight), groups)
