"""The GPU check where there is no GPU: one line; and its measurements, made small, on the CPU."""

import importlib.util

import pytest
import torch

from gpu.command import WANTED, main, measure, ratios
from gpu.timing import Sizes, bmm_chain, network_flops
from hypernerf.fields import FieldSpec
from hypernerf.models import EncoderConfig, GeneratorConfig, HypernetworkConfig, ImageEncoderConfig, LiftConfig
from hypernerf.ops import encoded_mlp
from hypernerf.ops.backends import _missing
from hypernerf.types import InputError

SMALL = Sizes(scenes=2, points=20, width=16, depth=1, octaves=2, ceiling=16, rays=2, samples=2, repeats=1, chunk=16)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(InputError, match="torch sees no GPU"):
        main([])


def test_what_cannot_run_is_named_and_the_rest_is_timed(monkeypatch):
    interpreted = importlib.util.find_spec("triton") is not None
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    _missing.cache_clear()
    encoder = EncoderConfig(ImageEncoderConfig(16, (8, 16)), lift=LiftConfig(0))
    config = GeneratorConfig(
        encoder, HypernetworkConfig(latent=16, width=16, rank=2), FieldSpec(width=16, depth=1, position_frequencies=2)
    )
    report = measure(torch.device("cpu"), SMALL, config)
    assert set(report["seconds"]) >= {"torch", "bmm"} and "not on cpu" in report["failed"]["tinycudann"]
    assert report["seconds"]["torch"]["step"] > 0 and set(report["ratios"]) == set(WANTED)
    if interpreted:
        assert report["seconds"]["triton"].keys() == {"forward", "both", "step", "render"}


def test_ratios_follow_from_times():
    seconds = {
        "triton": {"forward": 1.0, "both": 2.0, "step": 3.0, "render": 1.25},
        "bmm": {"forward": 9.0, "both": 8.0},
        "torch": {"step": 12.0},
    }
    forward, both = network_flops(SMALL)
    assert forward == 2 * 2 * 20 * (16 * 16 + 16 * 4) and both == 2 * 2 * 20 * (2 * 256 + 3 * 64)
    found = ratios(seconds, 1e6, SMALL)
    assert list(found.values()) == pytest.approx([forward / 1e6, both / 2e6, 4.0, 4.0, 0.8])


def test_the_chain_of_products_is_the_same_network():
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(2, o, i, generator=generator) / i**0.5 for i, o in ((16, 16), (16, 4))]
    positions = torch.rand(2, 20, 3, generator=generator)
    right = encoded_mlp(positions, 2, None, None, weights, "torch")
    assert (bmm_chain(positions, SMALL, weights) - right).norm() < 2e-2 * right.norm()
