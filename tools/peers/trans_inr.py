"""Trans-INR (Chen & Wang 2022), from https://github.com/yinboc/trans-inr.

Its model, its `NvsTrainer` (rays drawn, rendering over white, loss, optimiser, learning rate by epoch) and its rendering of whole
images run as they are, from `cfgs/nvs_shapenet_chairs.yaml` with these departures:

* sizes for two CPU cores and 64x64 images: see `TransInrConfig` beside the recipe's values;
* one model reads 1, 2 or 3 views, drawn anew each step, as ours does; the recipe trains one for each number. Its tokenizer has no
  embedding of positions or views, so nothing in it knows how many there are;
* its 1000 epochs are the run: progress stands for the epoch wherever the learning rate asks (a tenth for the last fifth). Half of
  the rays are drawn on the object for `adaptive_steps` steps, about as many as its first epoch has, where it does so;
* near and far are the scene sphere's bounds, not 2 and 6: the objects then have the size they have there, and fewer points a ray
  stand as near to each other. Whole images are rendered with twice the points of training;
* `.cuda()` is the identity: this runs on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from torch import Tensor

from hypernerf.training import StoredScene

from .common import Kind, Material, Moment, posed_images, require_centered, scene_batch, stacked, support_and_query
from .repository import Repository

REPOSITORY = Repository(
    url="https://github.com/yinboc/trans-inr",
    commit="f4bdc013286e2be00f9117e4e53913d6692fa49d",
    marker="models/trans_inr.py",
    packages=("einops", "tqdm", "yaml"),
    unused=("wandb", "tensorboardX", "torchvision", "torchvision.transforms"),
)


@dataclass(frozen=True)
class TransInrConfig:
    """The recipe's values in comments."""

    learning_rate: float = 5e-4  # 1e-4, for a transformer six times as wide
    scenes: int = 24  # a step; 32
    rays: int = 64  # a scene; 128
    points: int = 32  # a ray, over a depth of 2; 128 over 4
    dim: int = 128  # of tokens; 768
    depth: int = 4  # 6
    heads: int = 2  # of 64 numbers, as there; 12
    hidden: int = 64  # width of the field's six layers; 256
    groups: int = 16  # weight tokens a layer; 32
    patch: int = 8  # pixels along a side, as there
    adaptive_steps: int = 150


class TransInr:
    def __init__(self, settings: TransInrConfig, material: Material, counts: Sequence[int]) -> None:
        assert material.repository is not None
        require_centered([*material.train, *material.watched, *material.scored])
        import models
        import utils
        from trainers.nvs_trainer import NvsTrainer

        self.settings, self.material, self.counts, self.utils = settings, material, list(counts), utils
        recipe = self.recipe(material.repository)
        torch.manual_seed(material.experiment.train.seed)
        self.model = models.make(recipe["model"])
        self.optimizer = utils.make_optimizer(self.model.parameters(), recipe["optimizer"])
        self.trainer = NvsTrainer.__new__(NvsTrainer)  # what its constructor adds is devices, logs and files
        self.trainer.cfg, self.trainer.model_ddp, self.trainer.optimizer = recipe, self.model, self.optimizer
        self.trainer.enable_tb = self.trainer.enable_wandb = False
        self.epochs = recipe["max_epoch"]

    def recipe(self, repository: Path) -> dict[str, Any]:
        """Its configuration, with our sizes."""
        recipe = yaml.safe_load((repository / "cfgs" / "nvs_shapenet_chairs.yaml").read_text())
        _resize(recipe, self.settings, self.material.train[0].cameras.height)
        return recipe

    def data(self, scenes: Sequence[StoredScene], views: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """What its trainer reads in a step, as its data loader would give it; `views` are read of each scene."""
        support, query = support_and_query(scenes, views, rng)
        return {
            **_named("support", support.images, support.poses, support.focals),
            **_named("query", query.images, query.poses, query.focals),
            "near": torch.full((len(scenes),), self.material.near),
            "far": torch.full((len(scenes),), self.material.far),
        }

    def train_step(self, data: dict[str, Tensor]) -> float:
        with mock.patch.object(Tensor, "cuda", lambda tensor: tensor):
            return self.trainer.train_step(data)["loss"]

    def step(self, moment: Moment) -> float:
        rng = moment.generator()
        scenes = scene_batch(self.material.train, self.settings.scenes, moment)
        data = self.data(scenes, int(rng.choice(self.counts)), rng)
        self.trainer.epoch = 1 + int(moment.progress * self.epochs)
        self.trainer.adjust_learning_rate()
        self.trainer.epoch = 1 if moment.step < self.settings.adaptive_steps else 2
        return self.train_step(data)

    def predict(self, scene: StoredScene, views: Sequence[int], targets: Sequence[int]) -> Tensor:
        support, asked = stacked([posed_images(scene, views)]), stacked([posed_images(scene, targets)])
        field = self.model(_named("support", support.images, support.poses, support.focals))
        rays = self.utils.poses_to_rays(asked.poses, scene.cameras.height, scene.cameras.width, asked.focals)
        images = self.utils.batched_volume_rendering(
            field, *rays, near=self.material.near, far=self.material.far, points_per_ray=2 * self.settings.points,
            use_viewdirs=field.use_viewdirs, rand=False, batch_size=512,
        )  # fmt: skip
        return images[0]


def _named(kind: str, images: Tensor, poses: Tensor, focals: Tensor) -> dict[str, Tensor]:
    return {f"{kind}_imgs": images, f"{kind}_poses": poses, f"{kind}_focals": focals}


def _resize(recipe: dict, settings: TransInrConfig, size: int) -> None:
    """Puts our sizes into its configuration."""
    model = recipe["model"]["args"]
    model["tokenizer"]["args"] |= {"input_size": size, "patch_size": settings.patch}
    model["hyponet"]["args"] |= {"hidden_dim": settings.hidden}
    model["n_groups"] = settings.groups
    model["transformer_encoder"]["args"] |= {
        "dim": settings.dim, "depth": settings.depth, "n_head": settings.heads,
        "head_dim": settings.dim // settings.heads, "ff_dim": 4 * settings.dim,
    }  # fmt: skip
    recipe["train_points_per_ray"], recipe["train_n_rays"] = settings.points, settings.rays
    recipe["optimizer"]["args"]["lr"] = settings.learning_rate


KIND = Kind(TransInrConfig, TransInr, any_count=True, repository=REPOSITORY)
