"""Scenes kept as what changes a shared base."""

import dataclasses

import pytest
import torch

from hypernerf.fields import (
    FieldSpec,
    FieldWeights,
    SceneField,
    initial_weights,
    load_scene_file,
    save_delta_file,
    save_scene_file,
)
from hypernerf.fields.delta import decode, encode, load_base, make_base
from hypernerf.types import InputError

SPEC = FieldSpec(width=16, depth=2, position_frequencies=2, plane_resolution=6, plane_channels=2, volume_resolution=4)


def population(count: int = 8, rank: int | None = 2) -> FieldWeights:
    """A field and `count` changes of it, each a combination of `rank` directions along every dimension; None: of all."""
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for name, value in initial_weights(SPEC, random).items():
        shape = value.shape if rank is None else [min(rank, size) for size in value.shape]
        change = torch.randn(count, *shape, generator=random)
        for i, size in enumerate(value.shape if rank is not None else []):
            change = torch.tensordot(change.movedim(i + 1, -1), torch.randn(shape[i], size, generator=random), 1).movedim(
                -1, i + 1
            )
        tensors[name] = value + 0.1 * change
    return FieldWeights(SPEC, tensors)


def test_factors_are_orthogonal_and_span_the_changes():
    weights = population()
    base = make_base(weights)
    for name, factors in base.factors.items():
        change = weights.tensors[name] - base.mean.tensors[name]
        for i, factor in enumerate(factors):
            assert torch.allclose(factor.T @ factor, torch.eye(len(factor)), atol=1e-5)
            two = factor[:, :2]  # the changes have rank 2 along every dimension
            kept = torch.tensordot(change.movedim(i + 1, -1), two @ two.T, 1).movedim(-1, i + 1)
            assert (kept - change).norm() < 1e-4 * change.norm()


@pytest.mark.parametrize("coarseness", [0.1, 1.0, 3.0])
def test_no_coefficient_is_off_by_more_than_half_a_step(coarseness):
    weights = population(rank=None)
    base = dataclasses.replace(make_base(weights), steps=dict.fromkeys(SPEC.param_shapes, 0.05))
    again = decode(base, encode(base, weights[2:3], coarseness), coarseness)
    for name, value in again.tensors.items():
        error = value[0] - weights.tensors[name][2]
        letters = "abcde"[: error.ndim]
        turned = torch.einsum(
            f"{letters},{','.join(f'{a}{a.upper()}' for a in letters)}->{letters.upper()}", error, *base.factors[name]
        )
        step = base.steps[name] * coarseness
        assert turned.abs().max() <= step / 2 + 1e-5
        assert turned.abs().max() > 0.3 * step  # it is rounded at all


def test_what_is_of_low_rank_takes_fewer_bytes():
    sizes = {}
    for rank in (1, 2, None):
        weights = population(rank=rank)
        base = make_base(weights)
        steps = dict.fromkeys(base.steps, 0.02)
        sizes[rank] = len(encode(dataclasses.replace(base, steps=steps), weights[:1]))
    assert sizes[1] < 0.6 * sizes[2] < 0.4 * sizes[None]


def test_a_delta_file_is_merged_with_the_base_beside_it_or_the_one_given(tmp_path):
    weights = population()
    base = make_base(weights, step=7)
    scene = SceneField("chair", weights[3:4].rounded(), background=(0.0, 0.5, 1.0), camera_distance=3.0)
    path = tmp_path / "chair.field.safetensors"
    save_delta_file(path, scene, base, 0.01)
    again = load_scene_file(path)
    assert dataclasses.replace(again, weights=scene.weights) == scene
    for name, value in again.weights.tensors.items():
        assert torch.allclose(value, scene.weights.tensors[name], atol=2e-3)
    beside = tmp_path / base.file_name
    assert load_base(beside).step == 7 and load_base(beside).digest == base.digest
    beside.rename(tmp_path / "base.safetensors")
    for given in (tmp_path, tmp_path / "base.safetensors"):
        assert torch.equal(load_scene_file(path, given).weights.tensors["planes"], again.weights.tensors["planes"])
    with pytest.raises(InputError, match="not beside it"):
        load_scene_file(path)
    other = make_base(population(9))
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=other.digest):
        load_scene_file(path, tmp_path / "other.safetensors")


def test_damage_and_other_architectures_are_named(tmp_path):
    weights = population()
    base = make_base(weights)
    data = encode(base, weights[:1])
    for damaged in (data[:-9], b"", data[:10] + bytes([data[10] ^ 255]) + data[11:]):
        with pytest.raises(ValueError, match="numbers"):
            decode(base, damaged)
    spec = dataclasses.replace(SPEC, width=32)
    with pytest.raises(InputError, match="another base"):
        encode(base, FieldWeights(spec, {n: v[None] for n, v in initial_weights(spec).items()}))
    save_scene_file(tmp_path / "a.field.safetensors", SceneField("a", weights[:1].rounded()))
    with pytest.raises(InputError, match="not a base"):
        load_base(tmp_path / "a.field.safetensors")
    for step in (float("inf"), float("nan")):  # JSON as Python reads it has both
        dataclasses.replace(base, step=step).save(tmp_path / "base.safetensors")
        with pytest.raises(InputError, match=r"base\.safetensors: not a base"):
            load_base(tmp_path / "base.safetensors")
