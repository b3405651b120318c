"""Gradients in bfloat16 against the reference in float64, by the processor's own products and by what stands in for them.

On a processor with AMX most of these run its tiles, and `without_tiles` what other processors do.
"""

from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch

from hypernerf.ops import _cpu, _cpu_bf16, batched_mlp, encoded_mlp
from hypernerf.ops.backends import _missing
from hypernerf.ops.native import build
from hypernerf.types import InputError
from tests.hypernerf.test_backends import outputs_and_gradients, relative_error

TOLERANCE = 1e-2  # relative, of gradients


@contextmanager
def compiled_without(monkeypatch, instructions):
    """As on a processor without these."""
    monkeypatch.setattr(build, "FLAGS", [*build.FLAGS, f"-U__{instructions}__"])
    for cache in (build.library, _missing):
        cache.cache_clear()
    yield
    for cache in (build.library, _missing):
        cache.cache_clear()


@pytest.fixture
def without_bfloat16(monkeypatch):
    with compiled_without(monkeypatch, "AVX512BF16"):
        yield


@pytest.fixture
def without_tiles(monkeypatch):
    with compiled_without(monkeypatch, "AMX_BF16"):
        yield


def random_network(sizes, points, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(2, o, i, generator=generator) * (2 / i) ** 0.5 for i, o in pairwise(sizes)]
    return torch.randn(2, points, sizes[0], generator=generator), weights


def compare(function, inputs, differentiable):
    """`function(module, inputs, differentiable)`: outputs against those of `cpu`, gradients against the reference."""
    found, exact = (
        outputs_and_gradients(lambda x, t: function(module, x, t), inputs, differentiable, torch.float32)
        for module in (_cpu_bf16, _cpu)
    )
    right = outputs_and_gradients(lambda x, t: function(_cpu, x, t), inputs, differentiable, torch.float64)  # the reference's
    assert torch.equal(found[0], exact[0])
    for one, float32, other in zip(found[1:], exact[1:], right[1:], strict=True):
        assert one.shape == other.shape and relative_error(one, other) < TOLERANCE
        assert not torch.equal(one, float32), "these are the float32 backend's"


def compare_network(sizes, points):
    inputs, weights = random_network(sizes, points)
    compare(lambda module, _, t: module.batched_mlp(t[0], t[1:]), inputs, [inputs, *weights])


@pytest.mark.parametrize("points", [1, 47, 48, 97, 5000])
@pytest.mark.parametrize("width", [16, 32, 64, 128])
def test_gradients_of_every_width_are_near_the_reference(width, points):
    compare_network((63, width, width, width, 4), points)


@pytest.mark.parametrize("sizes", [(5, 3), (7, 33, 1), (44, 20, 9, 5), (4, 65, 31, 130, 17)])
def test_gradients_of_odd_sizes_are_near_the_reference(sizes):
    compare_network(sizes, 75)


@pytest.mark.parametrize(
    ("octaves", "plane", "volume"),
    [(4, (4, 9), (4, 5)), (0, (1, 2), None), (5, None, (5, 7)), (2, (6, 5), (4, 2)), (3, None, None)],
)
@pytest.mark.parametrize("points", [47, 300])
def test_gradients_of_encoded_networks_are_near_the_reference(octaves, plane, volume, points):
    features = 4 + 6 * octaves + (3 * plane[0] if plane else 0) + (volume[0] if volume else 0)
    _, tensors = random_network((features, 32, 16, 4), 1)
    generator = torch.Generator().manual_seed(1)
    if plane:
        tensors.append(torch.randn(2, 3, plane[0], plane[1], plane[1], generator=generator))
    if volume:
        tensors.append(torch.randn(2, 1, volume[0], *(volume[1],) * 3, generator=generator))
    positions = torch.rand(2, points, 3, generator=generator) * 2.4 - 1.2

    def function(module, x, t):
        return module.encoded_mlp(x, octaves, t[3] if plane else None, t[-1] if volume else None, t[:3])

    compare(function, positions, tensors)


@pytest.mark.usefixtures("without_tiles")
@pytest.mark.parametrize(("sizes", "points"), [((63, 64, 64, 64, 4), 1000), ((4, 65, 31, 130, 17), 75)])
def test_gradients_without_tiles_are_near_the_reference(sizes, points):
    compare_network(sizes, points)


@pytest.mark.parametrize("points", [97, 1000])
@pytest.mark.parametrize("sizes", [(63, 64, 64, 64, 4), (20, 48, 100, 16)])
def test_tiles_sum_what_vectors_sum(sizes, points, monkeypatch):
    """The same products in another order."""
    if not build.library().network_multiplies_tiles():
        pytest.skip("this processor has no tiles (AMX)")
    inputs, weights = random_network(sizes, points)

    def gradients():
        return outputs_and_gradients(lambda x, t: _cpu_bf16.batched_mlp(t[0], t[1:]), inputs, [inputs, *weights], torch.float32)

    tiles = gradients()
    with compiled_without(monkeypatch, "AMX_BF16"):
        vectors = gradients()
    # sums that differ in the last place may be rounded to bfloat16 otherwise, once in some ten thousand
    assert all(relative_error(one, other) < 1e-4 for one, other in zip(tiles, vectors, strict=True))


@pytest.mark.usefixtures("without_bfloat16")
def test_without_the_instruction_the_roundings_are_the_same_and_the_backend_says_so():
    compare_network((63, 64, 33, 4), 97)
    inputs, weights = random_network((4, 16, 4), 5)
    with pytest.raises(InputError, match=r"backend 'cpu_bf16': .*AVX-512-BF16.*choose cpu"):
        batched_mlp(inputs, weights, "cpu_bf16")


def test_gradients_of_many_points_do_not_depend_on_the_number_of_threads():
    inputs, weights = random_network((4, 64, 4), 10_000)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(outputs_and_gradients(lambda x, t: _cpu_bf16.batched_mlp(x, t), inputs, weights, torch.float32))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*found, strict=True))


def test_some_matrices_may_have_no_gradient():
    inputs, weights = random_network((9, 32, 16, 4), 100)
    compare(lambda module, _, t: module.batched_mlp(inputs.to(t[0].dtype), [weights[0].to(t[0].dtype), *t]), inputs, weights[1:])


def test_where_no_matrix_has_a_gradient_nothing_is_rounded():
    inputs, weights = random_network((9, 32, 16, 4), 100)
    rounded, exact = (
        outputs_and_gradients(lambda _, t: module.batched_mlp(t[0], weights), inputs, [inputs], torch.float32)
        for module in (_cpu_bf16, _cpu)
    )
    assert torch.equal(rounded[1], exact[1])


def test_a_graph_can_be_gone_through_twice():
    inputs, weights = random_network((16, 32, 4), 60)
    weights[0].requires_grad_()
    output = _cpu_bf16.batched_mlp(inputs, weights)
    first, second = (torch.autograd.grad(output.sum(), weights[0], retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.skipif(_missing("cpu_bf16", "cpu") is not None, reason=str(_missing("cpu_bf16", "cpu")))
def test_the_backend_is_asked_for_by_name():
    inputs, weights = random_network((10, 16, 4), 60)
    weights[0].requires_grad_()
    named, direct = (
        torch.autograd.grad(output.sum(), weights[0])[0]
        for output in (batched_mlp(inputs, weights, "cpu_bf16"), _cpu_bf16.batched_mlp(inputs, weights))
    )
    assert torch.equal(named, direct)
    positions = torch.zeros(2, 60, 3)
    assert torch.equal(
        encoded_mlp(positions, 1, None, None, weights, "cpu_bf16"), encoded_mlp(positions, 1, None, None, weights, "cpu")
    )
