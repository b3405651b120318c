"""The Triton kernels against the reference in float64, run by Triton's interpreter on the CPU (compiled where there is a GPU)."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are first imported
pytest.importorskip("triton")

from hypernerf.fields import FieldSpec, FieldWeights, initial_weights, radiance_field  # noqa: E402
from hypernerf.ops import batched_mlp, encoded_mlp, pick_backend  # noqa: E402
from hypernerf.ops._triton import launches  # noqa: E402
from hypernerf.ops.packing import Layout, pack  # noqa: E402

TOLERANCE = 2e-2 if DEVICE == "cuda" else 1e-5  # relative, in norm: bfloat16 products on a GPU, float32 here


def compare(function, *tensors):
    """`function(backend, tensors)`: outputs and gradients of fixed sums of them, on `triton` and on the reference."""
    results = []
    for backend, dtype, device in (("triton", torch.float32, DEVICE), ("torch", torch.float64, "cpu")):
        places = [t.to(device, dtype).requires_grad_() for t in tensors]
        output = function(backend, places)
        weighting = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).reshape(output.shape).to(device, dtype)
        results.append([output, *torch.autograd.grad(output, places, weighting)])
    for found, right in zip(*results, strict=True):
        assert found.shape == right.shape
        assert (found.cpu().double() - right).norm() <= TOLERANCE * right.norm()


def random_weights(generator, scenes, *sizes):
    return [torch.randn(scenes, o, i, generator=generator) / i**0.5 for i, o in pairwise(sizes)]


@pytest.mark.parametrize(
    ("points", "sizes"),
    [(75, (7, 16, 16, 4)), (1, (48, 32, 1)), (33, (33, 64, 64, 64, 16)), (40, (20, 128, 128, 3))],
    ids=lambda value: str(value),
)
def test_the_batched_mlp_of_every_width(points, sizes):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, points, sizes[0], generator=generator)
    compare(lambda backend, t: batched_mlp(t[0], t[1:], backend), inputs, *random_weights(generator, 2, *sizes))


@pytest.mark.parametrize(("octaves", "features"), [(0, 0), (3, 0), (10, 16)])
def test_frequencies_are_computed_where_they_are_read(octaves, features):
    generator = torch.Generator().manual_seed(octaves)
    positions = (torch.rand(2, 70, 3, generator=generator) * 2.4 - 1.2).to(DEVICE)
    tensors = random_weights(generator, 2, 4 + 6 * octaves + features, 32, 32, 4)
    if features:
        tensors += [torch.randn(2, 3, 4, 5, 5, generator=generator), torch.randn(2, 1, 4, 3, 3, 3, generator=generator)]
    extra = slice(3, None) if features else slice(0, 0)

    def function(backend, t):
        planes, volume = t[extra] or (None, None)
        return encoded_mlp(positions.to(t[0]), octaves, planes, volume, t[:3], backend)

    compare(function, *tensors)


def test_rows_beyond_a_scenes_count_neither_see_nor_teach_anything():
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([0, 41, 70], dtype=torch.int32)
    inputs = torch.randn(3, 70, 9, generator=generator)
    there = torch.arange(70) < counts[:, None]
    ragged = inputs.masked_fill(~there[..., None], float("nan"))  # whatever stands there

    def function(backend, t):
        module = pick_backend(backend, t[0].device)
        if backend == "torch":
            return module.batched_mlp(inputs.to(t[0]), t) * there[..., None].to(t[0])
        return module.batched_mlp(ragged.to(t[0]), t, counts.to(t[0].device))

    compare(function, *random_weights(generator, 3, 9, 16, 16, 4))


def test_the_same_inputs_give_the_same_bits():
    generator = torch.Generator().manual_seed(0)
    weights = [w.to(DEVICE).requires_grad_() for w in random_weights(generator, 1, 5, 16, 4)]
    inputs = torch.randn(1, 200, 5, generator=generator).to(DEVICE)
    first, second = (torch.autograd.grad(batched_mlp(inputs, weights, "triton").square().sum(), weights) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("directions", [0, 2])
def test_a_whole_field_is_the_same_field(directions):
    spec = FieldSpec(width=16, depth=2, position_frequencies=4, direction_frequencies=directions, plane_resolution=4)
    generator = torch.Generator().manual_seed(0)
    base = initial_weights(spec, generator)
    names = list(base)
    positions, towards = torch.rand(2, 2, 20, 3, generator=generator).mul(2).sub(1).to(DEVICE)

    def function(backend, t):
        output = radiance_field(
            positions.to(t[0]), towards.to(t[0]), FieldWeights(spec, dict(zip(names, t, strict=True))), backend
        )
        return torch.cat([output.density[..., None], output.color], dim=-1)

    compare(function, *(torch.randn(2, *base[name].shape, generator=generator) * 0.5 for name in names))


def test_wide_networks_take_several_launches_that_cover_every_matrix_once():
    assert launches(Layout(64, 0, 64, 3, 4)) == [(0, 4)]
    ranges = launches(Layout(64, 48, 128, 5, 4))
    assert [matrix for low, high in ranges for matrix in range(low, high)] == list(range(6)) and len(ranges) > 1


def test_packed_rows_have_a_place_for_every_number():
    generator = torch.Generator().manual_seed(0)
    weights = random_weights(generator, 2, 28 + 5, 16, 16, 4)
    layout = Layout.of(weights, 28)
    row = pack(weights, layout)
    assert row.shape == (2, layout.size) and layout.size == 16 * (32 + 16) + 16 * 16 + 16 * 16
    first = row[:, : 16 * 48].reshape(2, 16, 48)
    assert torch.equal(first[..., :28], weights[0][..., :28]) and torch.equal(first[..., 32:37], weights[0][..., 28:])
    assert first[..., 28:32].abs().max() == 0 and torch.equal(row[:, 16 * 48 : 16 * 64], weights[1].flatten(1))


def test_tensors_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        batched_mlp(torch.zeros(2, 5, 7, device=DEVICE), random_weights(torch.Generator(), 3, 7, 16, 4), "triton")


def test_the_compiler_takes_every_kernel(tmp_path):
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1"}
    command = [sys.executable, "-m", "tests.hypernerf.compile_kernels"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
