"""Every fast backend against the reference in float64, outputs and gradients; and what is said where one is missing."""

import logging
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.ops import _cpu, _cpu_bf16, batched_mlp, encoded_mlp
from hypernerf.ops.backends import _fastest, _missing, pick_backend
from hypernerf.ops.native import build
from hypernerf.ops.native.build import BuildError, library
from hypernerf.types import InputError

TOLERANCE = 1e-5  # relative, of float32 sums over some thousand points


def relative_error(found, right):
    return ((found.double() - right).norm() / right.norm().clamp_min(1e-12)).item()


def outputs_and_gradients(function, inputs, differentiable, dtype):
    """`function(inputs, differentiable)` and its gradients, the outputs weighted by fixed numbers."""
    places = [tensor.to(dtype).requires_grad_() for tensor in differentiable]
    output = function(inputs.to(dtype), places)
    weighting = torch.linspace(-1, 1, output.numel()).reshape(output.shape).to(dtype)
    return [output, *torch.autograd.grad(output, places, weighting)]


def compare(function, inputs, tensors, backend, wanted=None):
    """Gradients of those `tensors` whose numbers are `wanted`, of all by default; the others have none.

    Where terms cancel so far that the reference itself, in float32, misses the tolerance, twice its error is allowed.
    """
    wanted = sorted(range(len(tensors)) if wanted is None else wanted)

    def called_by(name):
        def call(x, differentiable):
            mixed = [tensor.to(x.dtype) for tensor in tensors]
            for number, tensor in zip(wanted, differentiable, strict=True):
                mixed[number] = tensor
            return function(x, mixed, name)

        return call

    differentiable = [tensors[number] for number in wanted]
    found = outputs_and_gradients(called_by(backend), inputs, differentiable, torch.float32)
    plain, right = (outputs_and_gradients(called_by("torch"), inputs, differentiable, d) for d in (torch.float32, torch.float64))
    for one, usual, other in zip(found, plain, right, strict=True):
        allowed = max(TOLERANCE, 2 * relative_error(usual, other))
        assert one.shape == other.shape and relative_error(one, other) < allowed


@given(
    scenes=st.integers(1, 3),
    points=st.integers(1, 120),
    sizes=st.lists(st.sampled_from([1, 3, 4, 7, 16, 33, 64, 128]), min_size=2, max_size=5),
    seed=st.integers(0, 99),
    wanted=st.sets(st.integers(0, 4), min_size=1),
)
@settings(max_examples=60, deadline=None)
def test_the_cpu_mlp_agrees_with_the_reference(scenes, points, sizes, seed, wanted):
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(scenes, o, i, generator=generator) / i**0.5 for i, o in pairwise(sizes)]
    inputs = torch.randn(scenes, points, sizes[0], generator=generator)
    wanted = {number % len(sizes) for number in wanted}  # there are as many tensors: inputs and matrices
    compare(lambda _, t, b: batched_mlp(t[0], t[1:], b), inputs, [inputs, *weights], "cpu", wanted)


@given(
    points=st.sampled_from([1, 47, 48, 300]),
    octaves=st.integers(0, 5),
    plane=st.sampled_from([None, (1, 2), (4, 9), (6, 5)]),
    volume=st.sampled_from([None, (4, 2), (5, 7)]),
    grids_alone=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_encoded_cpu_mlp_agrees_with_the_reference(points, octaves, plane, volume, grids_alone, seed):
    generator = torch.Generator().manual_seed(seed)
    features = 4 + 6 * octaves + (3 * plane[0] if plane else 0) + (volume[0] if volume else 0)
    sizes = [features, 32, 16, 4]
    tensors = [torch.randn(2, o, i, generator=generator) / i**0.5 for i, o in pairwise(sizes)]
    if plane:
        tensors.append(torch.randn(2, 3, plane[0], plane[1], plane[1], generator=generator))
    if volume:
        tensors.append(torch.randn(2, 1, volume[0], *(volume[1],) * 3, generator=generator))
    positions = torch.rand(2, points, 3, generator=generator) * 2.4 - 1.2  # some beyond the outermost texels

    def function(x, t, backend):
        return encoded_mlp(x, octaves, t[3] if plane else None, t[-1] if volume else None, t[:3], backend)

    compare(function, positions, tensors, "cpu", range(3, len(tensors)) if grids_alone and len(tensors) > 3 else None)


def test_gradients_of_many_points_do_not_depend_on_the_number_of_threads():
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(1, o, i, generator=generator) / i**0.5 for i, o in ((4, 64), (64, 4))]
    inputs = torch.randn(1, 10_000, 4, generator=generator)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(outputs_and_gradients(lambda x, t: batched_mlp(x, t, "cpu"), inputs, weights, torch.float32))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_positions_that_are_no_numbers_harm_nothing_else():
    weights = [torch.ones(1, 4, 8)]
    positions = torch.full((1, 60, 3), float("nan"))
    positions[0, 30] = 0.25
    volume = torch.ones(1, 1, 4, 4, 4, 4)
    output = encoded_mlp(positions, 0, None, volume, weights, "cpu")
    assert torch.equal(output[0, 30], torch.full((4,), 0.75 + 1 + 4 + 1))


@pytest.mark.parametrize("module", [_cpu, _cpu_bf16])
def test_no_points_have_no_gradient(module):
    weights = [torch.ones(3, 64, 8, requires_grad=True), torch.ones(3, 4, 64, requires_grad=True)]
    outputs = module.batched_mlp(torch.ones(3, 0, 8), weights)
    assert all(not gradient.any() for gradient in torch.autograd.grad(outputs.sum(), weights))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit together"):
        encoded_mlp(torch.zeros(1, 5, 3), 2, None, None, [torch.zeros(1, 4, 15)], "cpu")


def test_positions_have_gradients_where_they_are_asked_for():
    positions = torch.full((1, 2, 3), 0.2, requires_grad=True)
    encoded_mlp(positions, 1, None, None, [torch.ones(1, 1, 10)]).sum().backward()
    assert positions.grad is not None and positions.grad.abs().min() > 0


@pytest.fixture
def without_compiler(monkeypatch):
    caches = (library, _missing, _fastest)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("without_compiler")
def test_without_a_compiler_torch_does_the_work_and_says_so_once(caplog):
    with caplog.at_level(logging.WARNING, "hypernerf"):
        for _ in range(2):
            batched_mlp(torch.zeros(1, 1, 1), [torch.zeros(1, 1, 1)])
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "no C compiler" in caplog.text
    with pytest.raises(InputError, match=r"backend 'cpu': no C compiler \(no-such-compiler\).*install gcc"):
        batched_mlp(torch.zeros(1, 1, 1), [torch.zeros(1, 1, 1)], "cpu")


@pytest.mark.usefixtures("without_compiler")
@pytest.mark.parametrize("command", ["false", "false gcc", "'false' -m64"])  # as `ccache gcc` is one
def test_a_compiler_that_fails_is_named(command, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", command)
    monkeypatch.setenv("HYPERNERF_CACHE", str(tmp_path))
    with pytest.raises(BuildError, match="false failed"):
        library()


def test_the_best_backend_on_this_machine_is_not_the_reference():
    """Where there is a compiler, as on every machine that runs these tests, the compiled kernels must really be what runs."""
    assert pick_backend("auto", torch.device("cpu")).__name__.endswith("_cpu")


@pytest.mark.usefixtures("without_compiler")
def test_a_library_that_cannot_be_loaded_is_named(monkeypatch, tmp_path):
    """Of a cache on a disk that filled up, for one. `auto` then takes the reference."""
    monkeypatch.delenv("CC")
    monkeypatch.setenv("HYPERNERF_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "_compile", lambda compiler, place: place.write_bytes(b"no library"))
    (tmp_path / "native").mkdir()
    with pytest.raises(BuildError, match=r"kernels-.*\.so cannot be loaded .*remove it"):
        library()
    assert pick_backend("auto", torch.device("cpu")).__name__.endswith("_torch")


def example(layers=3):
    generator = torch.Generator().manual_seed(0)
    sizes = [4 + 6 + 3 * 2 + 4, *[16] * (layers - 1), 4]
    weights = [torch.randn(1, out, into, generator=generator) for into, out in pairwise(sizes)]
    grids = torch.randn(1, 3, 2, 4, 4, generator=generator), torch.randn(1, 1, 4, 4, 4, 4, generator=generator)
    return torch.rand(1, 40, 3, generator=generator) * 2 - 1, [*grids, *weights]


@pytest.mark.parametrize("which", range(6))
def test_numbers_that_are_none_are_not_hidden(which):
    """A step of training whose values are not finite is left out: no unit may turn them into 0."""
    positions, tensors = example()
    if which == 5:
        positions[0, 0, 0] = float("nan")
    elif which < 2:  # a grid, all of it: between two cells each library decides which ones a share of 0 asks for
        tensors[which].fill_(float("nan"))
    else:
        tensors[which][0, 0, 0] = float("nan")
    outputs = [encoded_mlp(positions, 1, tensors[0], tensors[1], tensors[2:], name).isnan() for name in ("cpu", "torch")]
    assert torch.equal(*outputs) and outputs[0].any()


def test_a_network_that_is_no_number_says_so():
    positions, tensors = example()
    tensors[2:] = [torch.full_like(matrix, float("nan")) for matrix in tensors[2:]]
    assert encoded_mlp(positions, 1, tensors[0], tensors[1], tensors[2:], "cpu").isnan().all()


@pytest.mark.parametrize(("which", "kind"), [*product(range(5), ("double", "half")), (0, "meta"), (1, "meta")])
def test_what_the_kernels_cannot_read_is_left_to_the_reference(which, kind):
    """It refuses mixtures; the kernels would read what is not there."""
    positions, tensors = example()
    tensors[which] = tensors[which].to("meta") if kind == "meta" else getattr(tensors[which], kind)()
    with pytest.raises((RuntimeError, ValueError)):
        encoded_mlp(positions, 1, tensors[0], tensors[1], tensors[2:], "cpu").sum().item()


def test_other_defaults_do_not_change_what_the_kernels_write_to():
    positions, tensors = example()
    tensors = [tensor.requires_grad_() for tensor in tensors]

    def gradients(module):
        output = module.encoded_mlp(positions, 1, tensors[0], tensors[1], tensors[2:])
        return torch.autograd.grad(output.sum(), tensors)

    right = gradients(_cpu_bf16)
    torch.set_default_dtype(torch.float64)
    try:
        found = gradients(_cpu_bf16)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))
