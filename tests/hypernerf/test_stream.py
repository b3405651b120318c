"""Views one at a time: the state says what the set of them says, and does not grow."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from hypernerf.models import EncoderConfig, Generator, LiftConfig, SetEncoderConfig
from hypernerf.models.stream import StreamState, code_of, read_view
from hypernerf.training import context_views
from hypernerf.types import InputError

from ..conftest import tiny

pytestmark = pytest.mark.usefixtures("_one_thread")


def generator(kind: str = "recurrent", lift: LiftConfig = LiftConfig(4, 8)) -> Generator:
    torch.manual_seed(0)
    encoder = EncoderConfig(tiny().encoder.image, SetEncoderConfig(kind, width=32), lift)  # type: ignore[arg-type]
    field = tiny().field if lift.resolution else dataclasses.replace(tiny().field, volume_resolution=0)
    return Generator(dataclasses.replace(tiny(), encoder=encoder, field=field).generator).requires_grad_(False)


@pytest.mark.parametrize("lift", [LiftConfig(4, 8, mirror="y"), LiftConfig(0)], ids=["lifted", "latent"])
def test_after_each_view_the_code_is_that_of_all_views_so_far(stored, lift):
    model, state = generator(lift=lift), StreamState(0)
    for view in range(5):
        state = read_view(model, state, context_views(stored[:2], [view]))
        streamed, at_once = code_of(model, state), model.encode(context_views(stored[:2], range(view + 1)))
        assert torch.allclose(streamed.latent, at_once.latent, atol=1e-5)
        if lift.resolution:
            assert torch.allclose(streamed.lifted.learned, at_once.lifted.learned, atol=1e-4)
            assert torch.allclose(streamed.lifted.seen, at_once.lifted.seen, atol=1e-4)


def test_the_state_does_not_grow_and_every_view_changes_it(stored):
    model, state, sizes, codes = generator(), StreamState(0), set(), []
    for view in range(6):
        state = read_view(model, state, context_views(stored[:1], [view]))
        sizes.add(state.bytes_a_scene)
        codes.append(code_of(model, state).latent)
    assert len(sizes) == 1
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(codes))


def test_a_recurrent_encoder_remembers_the_order(stored):
    model = generator()
    there, back = (model.encode(context_views(stored[:1], order)).latent for order in ([0, 1, 2], [2, 1, 0]))
    assert not torch.allclose(there, back, atol=1e-6)


def test_the_unit_learns(stored):
    model = generator().requires_grad_(True)
    model.encode(context_views(stored[:2], [0, 1])).latent.square().sum().backward()
    assert float(model.set_encoder.unit.weight_hh.grad.abs().max()) > 0


def test_a_set_is_no_stream(stored):
    with pytest.raises(InputError, match="recurrent"):
        read_view(generator("mean"), StreamState(0), context_views(stored[:1], [0]))
