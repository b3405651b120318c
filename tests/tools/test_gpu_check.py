"""The GPU check where there is no GPU: one line; and its measurements, made small, on the CPU."""

import pytest
import torch

from gpu.command import WANTED, main, measure, ratios
from gpu.timing import Sizes, bmm_chain, network_flops
from hypernerf.fields import FieldSpec
from hypernerf.models import EncoderConfig, GeneratorConfig, HypernetworkConfig, ImageEncoderConfig, LiftConfig
from hypernerf.ops import encoded_mlp
from hypernerf.types import InputError

SMALL = Sizes(scenes=2, points=40, width=16, depth=2, octaves=2, ceiling=16, rays=4, samples=3, repeats=1, chunk=16)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(InputError, match="torch sees no GPU"):
        main([])


def test_what_cannot_run_is_named_and_the_rest_is_timed():
    encoder = EncoderConfig(ImageEncoderConfig(16, (8, 16)), lift=LiftConfig(0))
    config = GeneratorConfig(encoder, HypernetworkConfig(latent=16, width=16, rank=2), FieldSpec(width=16, depth=2))
    report = measure(torch.device("cpu"), SMALL, config)
    assert set(report["seconds"]) >= {"torch", "bmm"} and "not on cpu" in report["failed"]["tinycudann"]
    assert report["seconds"]["torch"]["step"] > 0 and set(report["ratios"]) == set(WANTED)


def test_ratios_follow_from_times():
    seconds = {
        "triton": {"forward": 1.0, "both": 2.0, "step": 3.0}, "bmm": {"forward": 9.0, "both": 8.0}, "torch": {"step": 12.0}
    }  # fmt: skip
    forward, both = network_flops(SMALL)
    assert forward == 2 * 2 * 40 * (16 * 16 + 16 * 16 + 16 * 4) and both == 2 * 2 * 40 * (2 * 256 + 3 * (256 + 64))
    found = ratios(seconds, 1e6, SMALL)
    assert list(found.values()) == pytest.approx([forward / 1e6, both / 2e6, 4.0, 4.0])


def test_the_chain_of_products_is_the_same_network():
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(2, o, i, generator=generator) / i**0.5 for i, o in ((16, 16), (16, 16), (16, 4))]
    positions = torch.rand(2, 40, 3, generator=generator)
    right = encoded_mlp(positions, 2, None, None, weights, "torch")
    assert (bmm_chain(positions, SMALL, weights) - right).norm() < 2e-2 * right.norm()
