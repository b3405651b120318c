"""Instance pattern composers (Kim, Lee et al. 2023), from https://github.com/kakaobrain/ginr-ipc.

Its model, its NeRF trainer (rays drawn, loss), its optimiser and scheduler and its rendering of whole images run as they are,
from `configs/nvs/low_rank_transinr_nerf/low_rank_shapenet_chairs.yaml` with these departures:

* sizes for two CPU cores and 64x64 images: see `GinrIpcConfig` beside the recipe's values;
* the recipe's learning rate is 1e-4 throughout (its cosine falls from 1e-4 to 1e-4); with a higher one its cosine falls to 1e-4
  over the run, whose progress stands for the number of steps;
* half of the rays are drawn on the object for `adaptive_steps` steps, about as many as the two epochs in which it does so have;
* near and far are the scene sphere's bounds, not 2 and 6; whole images are rendered with twice the points of training.

As in the recipe, one model is trained for each number of context views: it has a learned embedding for each patch of each view.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from hypernerf.training import StoredScene

from .common import Kind, Material, Moment, posed_images, require_centered, scene_batch, stacked, support_and_query
from .repository import Repository

REPOSITORY = Repository(
    url="https://github.com/kakaobrain/ginr-ipc",
    commit="135f55cd2867e1b09dde05989a7e6fb3a353be9e",
    marker="src/models/generalizable_INR_nerf/low_rank_modulated_transinr_nerf.py",
    packages=("einops", "omegaconf", "easydict", "tqdm"),
    unused=("torchvision", "torchvision.transforms"),
    sources="src",
)
RECIPE = "configs/nvs/low_rank_transinr_nerf/low_rank_shapenet_chairs.yaml"
STEPS = 1000  # what its scheduler takes the run's length to be


@dataclass(frozen=True)
class GinrIpcConfig:
    """The recipe's values in comments."""

    learning_rate: float = 5e-4  # at the start; 1e-4, for a transformer six times as wide
    scenes: int = 24  # a step; 32
    rays: int = 64  # a scene; 128
    points: int = 32  # a ray, over a depth of 2; 128 over 4
    dim: int = 128  # of tokens; 768
    depth: int = 4  # 6
    heads: int = 2  # of 64 numbers, as there; 12
    hidden: int = 64  # width of the field's six layers, rank of the composed one, and number of weight tokens; 256
    patch: int = 8  # pixels along a side, as there
    adaptive_steps: int = 300


class GinrIpc:
    def __init__(self, settings: GinrIpcConfig, material: Material, counts: Sequence[int]) -> None:
        (self.count,) = counts
        self.settings, self.material = settings, material
        require_centered([*material.train, *material.watched, *material.scored])
        with _readable():
            from models import create_model
            from optimizer import create_optimizer, create_scheduler
            from trainers.trainer_stage_inr_nerf import RaySubSampler, Trainer

            config = _recipe(settings, material, self.count)
            torch.manual_seed(material.experiment.train.seed)
            self.model = create_model(config.arch)[0]
        self.optimizer = create_optimizer(self.model, config)
        self.scheduler = create_scheduler(self.optimizer, config.optimizer.warmup, 1, STEPS)
        self.trainer = Trainer.__new__(Trainer)  # what its constructor adds is data loaders
        self.trainer.model, self.trainer.model_ema = _Parallel(self.model), None
        self.trainer.config, self.trainer.device = config, torch.device("cpu")
        self.trainer.distenv = SimpleNamespace(master=False)
        self.trainer.ray_subsampler = RaySubSampler(config.loss.subsample)

    def step(self, moment: Moment) -> float:
        scenes = scene_batch(self.material.train, self.settings.scenes, moment)
        support, query = support_and_query(scenes, self.count, moment.generator())
        batch = {
            **_named("support", support.images, support.poses, support.focals),
            **_named("query", query.images, query.poses, query.focals),
            "z_range": self._depths(len(scenes)),
        }
        with warnings.catch_warnings():  # torch would rather be told the step by the number of calls
            warnings.simplefilter("ignore")
            self.scheduler.step(moment.progress * STEPS)
        self.trainer.loader_trn = [batch]
        epoch = 0 if moment.step < self.settings.adaptive_steps else 2
        done = SimpleNamespace(step=lambda: None)  # the learning rate was set above
        return float(self.trainer.train(self.optimizer, done, None, epoch)["loss_total"])

    def predict(self, scene: StoredScene, views: Sequence[int], targets: Sequence[int]) -> Tensor:
        from utils.geometry import poses_to_rays

        height, width = scene.cameras.height, scene.cameras.width
        support, asked = stacked([posed_images(scene, views)]), stacked([posed_images(scene, targets)])
        rays = (r.reshape(1, -1, 3) for r in poses_to_rays(asked.poses, asked.focals, height, width))
        self.model.coord_sampler.num_points_per_ray = 2 * self.settings.points
        colors = self.model.forward_by_subbatch_ray(
            support.images, support.poses, support.focals, self._depths(1), *rays, ray_subbatch_size=512
        )
        self.model.coord_sampler.num_points_per_ray = self.settings.points
        return colors.reshape(len(targets), height, width, 3)

    def _depths(self, scenes: int) -> Tensor:
        return torch.tensor([[self.material.near, self.material.far]]).expand(scenes, 2)


class _Parallel(nn.Module):
    """A model as its trainer expects it, where several GPUs would share the work."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *arguments: Any, **named: Any) -> Tensor:
        return self.module(*arguments, **named)


def _named(kind: str, images: Tensor, poses: Tensor, focals: Tensor) -> dict[str, Tensor]:
    return {f"{kind}_imgs": images, f"{kind}_poses": poses, f"{kind}_focals": focals}


def _recipe(settings: GinrIpcConfig, material: Material, count: int) -> Any:
    """Its configuration with our sizes."""
    from omegaconf import OmegaConf
    from utils.config import augment_defaults

    assert material.repository is not None
    config = OmegaConf.load(material.repository / RECIPE)
    height, width = material.train[0].cameras.height, material.train[0].cameras.width
    arch, subsample = config.arch, config.loss.subsample
    arch.n_weight_groups = [settings.hidden]
    arch.coord_sampler.num_points_per_ray = settings.points
    arch.data_encoder.encoder_spec.patch_size = settings.patch
    arch.latent_mapping.n_patches = count * (height // settings.patch) * (width // settings.patch)
    arch.latent_mapping.latent_dim = arch.transformer.embed_dim = settings.dim
    arch.transformer.n_layer, arch.transformer.block.n_head = settings.depth, settings.heads
    arch.hyponet.hidden_dim = [settings.hidden]
    subsample.train_num_rays = settings.rays
    config.optimizer.init_lr = settings.learning_rate
    config.optimizer.warmup.min_lr = min(settings.learning_rate, config.optimizer.warmup.min_lr)
    return augment_defaults(config)


@contextmanager
def _readable() -> Iterator[None]:
    """Lets code of Python 3.7 and NumPy 1 be imported: dataclasses as default values, and `np.product`."""
    import omegaconf  # noqa: F401  (before dataclasses change)

    hashable = functools.partial(dataclasses.dataclass, unsafe_hash=True)
    with mock.patch.object(dataclasses, "dataclass", hashable), mock.patch.object(np, "product", np.prod, create=True):
        yield


KIND = Kind(GinrIpcConfig, GinrIpc, any_count=False, repository=REPOSITORY)
