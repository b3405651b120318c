"""From scratch: our field, planes and volume included, fitted to the context views of each scored scene alone.

No generator and no other scene is seen: what a scene file holds after this is what our generator is to write in one pass. The
fields of all scored scenes are fitted at once, each by its own numbers, for each number of context views; `--minutes` is the
time of all of them together. Rays are drawn from all pixels of the context views; only their colors are fitted, since a generator
too is given images and no masks. Rendering skips what a scene's own field has found empty, as our trainer does for all scenes
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hypernerf.fields import FieldSpec, FieldWeights, initial_weights
from hypernerf.geometry import camera_rays, cell_points
from hypernerf.rendering import OccupancyGrid, render_rays, render_views
from hypernerf.rendering.occupancy import EMPTY_DENSITY, dilated, grid_density
from hypernerf.training import StoredScene
from hypernerf.training.schedule import learning_rate_factor
from hypernerf.training.store import stack_cameras
from hypernerf.types import RayBundle

from .common import Kind, Material, Moment


@dataclass(frozen=True)
class ScratchConfig:
    learning_rate: float = 5e-3  # falls to 0 by a cosine over the run
    rays: int = 96  # a scene and step
    occupancy_every: int = 50  # steps between looks at what is empty
    occupancy_grid: int = 24  # cells along a side
    occupancy_decay: float = 0.8  # of the density that was once seen, from look to look


class Fields(nn.Module):
    """A field's weights for each of some scenes, and where they have found something."""

    def __init__(self, spec: FieldSpec, scenes: int, grid: int, seed: int) -> None:
        super().__init__()
        self.spec = spec
        start = initial_weights(spec, torch.Generator().manual_seed(seed))
        self.tensors = nn.ParameterDict({name: value.expand(scenes, *value.shape).clone() for name, value in start.items()})
        self.seen: Tensor  # [scene, cell], the greatest density seen in a cell lately
        self.register_buffer("seen", torch.ones(scenes, grid**3))

    def weights(self) -> FieldWeights:
        return FieldWeights(self.spec, dict(self.tensors.items()))

    def occupancy(self) -> OccupancyGrid:
        size = round(self.seen.shape[1] ** (1 / 3))
        return dilated((self.seen > EMPTY_DENSITY).reshape(-1, size, size, size))

    def look(self, decay: float) -> None:
        """Looks at one random point a cell in each scene."""
        size = round(self.seen.shape[1] ** (1 / 3))
        density = grid_density(self.weights(), cell_points(size, torch.rand(size**3, 3)))
        self.seen = torch.maximum(decay * self.seen, density)


class Scratch:
    """The fields of all scored scenes for one number of context views."""

    def __init__(self, settings: ScratchConfig, material: Material, counts: Sequence[int]) -> None:
        (count,) = counts
        experiment, scenes = material.experiment, material.scored
        views = experiment.evaluate.views_for(count)
        self.settings, self.experiment, self.scenes = settings, experiment, scenes
        self.fields = Fields(experiment.field, len(scenes), settings.occupancy_grid, experiment.train.seed)
        self.model: nn.Module = self.fields
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(self.model.parameters(), settings.learning_rate, (0.9, 0.99))
        rays = camera_rays(stack_cameras([scene.cameras[views] for scene in scenes]))
        self.rays = RayBundle(rays.origins.flatten(1, 3), rays.directions.flatten(1, 3))
        self.colors: Float[Tensor, "scene ray 3"] = torch.stack([scene.image(views) for scene in scenes]).flatten(1, 3)
        self.background = torch.stack([scene.background for scene in scenes])

    def step(self, moment: Moment) -> float:
        settings, config = self.settings, self.experiment.train
        if moment.step and moment.step % settings.occupancy_every == 0:
            self.fields.look(settings.occupancy_decay)
        count = len(self.scenes)
        chosen = torch.randint(self.colors.shape[1], (count, settings.rays))
        scene = torch.arange(count)[:, None]
        rays = RayBundle(self.rays.origins[scene, chosen], self.rays.directions[scene, chosen])
        jitter = torch.rand(count, settings.rays, config.samples)
        occupancy = self.fields.occupancy()
        output = render_rays(self.fields.weights(), rays, self.background, config.samples, occupancy, jitter)
        # the sum over scenes: each scene's gradient, and so its steps, are those it would have alone
        losses = (output.color - self.colors[scene, chosen]).square().mean((1, 2))
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(moment.progress, config.warmup)
        self.optimizer.step()
        return float(losses.detach().mean())

    def predict(self, scene: StoredScene, views: Sequence[int], targets: Sequence[int]) -> Tensor:
        index = [known.scene_id for known in self.scenes].index(scene.scene_id)
        weights = self.fields.weights()[index : index + 1].rounded()
        return render_views(weights, scene.cameras[list(targets)], scene.background, self.experiment.render).color


KIND = Kind(ScratchConfig, Scratch, any_count=False, fits_scored=True)
