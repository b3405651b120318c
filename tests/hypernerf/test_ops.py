import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.ops import batched_mlp, composite, volume_weights
from hypernerf.types import InputError


def slow_weights(density, lengths):
    """The quadrature, one sample after the other, in float64."""
    result, light = [], 1.0
    for s, length in zip(density, lengths, strict=True):
        opacity = 1 - math.exp(-s * length)
        result.append(light * opacity)
        light *= 1 - opacity
    return result


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 2)), min_size=1, max_size=12))
@settings(max_examples=80, deadline=None)
def test_volume_weights_agree_with_a_loop(samples):
    density, lengths = (torch.tensor(v, dtype=torch.float64) for v in zip(*samples, strict=True))
    weights = volume_weights(density, lengths)
    assert torch.allclose(
        weights, torch.tensor(slow_weights(density.tolist(), lengths.tolist()), dtype=torch.float64), atol=1e-12
    )
    assert (weights >= 0).all() and weights.sum() <= 1 + 1e-9


def test_a_uniform_slab_is_as_opaque_as_beer_and_lambert_say():
    weights = volume_weights(torch.full((40,), 1.7), torch.full((40,), 0.05))
    assert weights.sum().item() == pytest.approx(1 - math.exp(-1.7 * 2), abs=1e-6)


def test_two_slabs_mix_their_colors():
    density, lengths = torch.tensor([2.0, 5.0]), torch.tensor([0.5, 0.25])
    colors = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    seen = composite(volume_weights(density, lengths), colors)
    front = 1 - math.exp(-1.0)
    assert seen.tolist() == pytest.approx([front, math.exp(-1.0) * (1 - math.exp(-1.25)), 0], abs=1e-6)


def test_gradients_of_the_integral():
    generator = torch.Generator().manual_seed(0)
    density = torch.rand(3, 5, dtype=torch.float64, generator=generator).mul(4).requires_grad_()
    lengths = torch.rand(3, 5, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(volume_weights, (density, lengths))


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_the_batched_mlp_agrees_with_a_loop_in_float64(backend):
    generator = torch.Generator().manual_seed(0)
    shapes = [(16, 7), (16, 16), (4, 16)]
    weights = [torch.randn(3, *shape, generator=generator, requires_grad=True) for shape in shapes]
    inputs = torch.randn(3, 11, 7, generator=generator)
    output = batched_mlp(inputs, weights, backend)
    output.square().sum().backward()
    doubles = [w.detach().double().requires_grad_() for w in weights]
    loss = torch.zeros((), dtype=torch.float64)
    for scene in range(3):
        for point in range(11):
            hidden = inputs[scene, point].double()
            for number, matrix in enumerate(doubles):
                hidden = matrix[scene] @ hidden
                hidden = hidden.clamp_min(0) if number < 2 else hidden
            assert torch.allclose(output[scene, point].double(), hidden, rtol=1e-4, atol=1e-4)
            loss = loss + hidden.square().sum()
    loss.backward()
    for single, double in zip(weights, doubles, strict=True):
        assert torch.allclose(single.grad.double(), double.grad, rtol=1e-3, atol=1e-3 * double.grad.abs().max())


def test_an_unknown_backend_is_an_error():
    with pytest.raises(InputError, match="unknown backend"):
        batched_mlp(torch.zeros(1, 1, 1), [torch.zeros(1, 1, 1)], "cuda9")
