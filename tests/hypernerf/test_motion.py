"""Weights as a function of time."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from hypernerf.models import Generator
from hypernerf.models.motion import Motion
from hypernerf.training import Trainer, context_views, store_scene
from scenes.procedural import ProceduralConfig, ProceduralSource

from ..conftest import tiny

pytestmark = pytest.mark.usefixtures("_one_thread")


def moving(**train):
    experiment = tiny(**train)
    return dataclasses.replace(experiment, hypernetwork=dataclasses.replace(experiment.hypernetwork, time=2))


def test_nothing_is_moved_at_time_0_nor_at_time_1():
    torch.manual_seed(0)
    motion, latent = Motion(2, 16).requires_grad_(False), torch.randn(3, 16)
    assert torch.equal(motion(latent, torch.zeros(3)), latent)
    assert torch.allclose(motion(latent, torch.ones(3)), latent, atol=1e-5)
    assert float((motion(latent, torch.full((3,), 0.25)) - latent).abs().max()) > 1e-3


def test_each_scene_has_its_own_time(stored):
    torch.manual_seed(0)
    generator = Generator(moving().generator).requires_grad_(False)
    code = generator.encode(context_views(stored[:2], [0]))
    both = generator.at(code, torch.tensor([0.0, 0.3])).latent
    assert torch.equal(both[0], code.latent[0])
    alone = generator.at(generator.encode(context_views(stored[1:2], [0])), torch.tensor([0.3])).latent
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_still_scenes_have_no_time(stored):
    generator = Generator(tiny().generator)
    code = generator.encode(context_views(stored[:1], [0]))
    assert generator.at(code, torch.tensor([0.5])) is code


def test_training_learns_the_motion(tmp_path):
    source = ProceduralSource(ProceduralConfig(categories=("lamps",), size=16, views=12, train_scenes=3, moving=True))
    stored = [store_scene(source.load(name)) for name in source.scene_ids("train")]
    trainer = Trainer(moving(steps=8), stored, tmp_path)
    before = trainer.model.motion.by_time.weight.detach().clone()
    for _ in range(8):
        trainer._timed_step()
    assert not torch.equal(trainer.model.motion.by_time.weight, before)
    assert all(scene.hull is None for scene in trainer.scenes)  # silhouettes of several times have no hull
