"""Written weights, corrected once by what their own picture of the context views gets wrong.

A forward pass guesses, and never sees what its guess looks like. Here the guess is rendered from the context views, and the
gradient of the error there with respect to planes and volume goes to small convolutions, which write a correction: learned
gradient descent (Andrychowicz et al. 2016; of layered images, DeepView: Flynn et al. 2019). Rendering knows what hides what,
and no other part of the generator does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..fields import FieldSpec, FieldWeights
from ..geometry import camera_rays
from ..ops import FOREGROUND, LEAST
from ..rendering import OccupancyGrid, render_rays
from ..rendering.occupancy import dilated
from ..types import ContextViews, InputError, RayBundle, require_within
from .convolution import Convolution2d, Convolution3d
from .seen import ball_cells

GAIN = 3e3  # takes a trained generator's gradients to a deviation near 0.2
STEEP = 10.0  # beside them stand their logarithms, nearly: asinh(STEEP * GAIN * gradient)
NEAR_SHARE, FAR_SHARE = 0.5, 0.02  # how often a ray of background is taken, beside the object and far from it, against one of it
NEAR = 32  # an image's height in the distance that counts as near
AT_LEAST = 1 << 10  # rays of a view when a scene is read, and a quarter of its pixels: all that see the object
CHUNK = 1 << 14  # rays of all scenes at a time: bounds memory


@dataclass(frozen=True)
class RefinementConfig:
    """Only planes and volume are corrected, so there must be some, and what is lifted tells where anything may be."""

    rays: int = 0  # of a scene's context views, looked at in a step of training; 0: no refinement
    samples: int = 12  # points a ray
    channels: int = 32  # of the convolutions

    def __post_init__(self) -> None:
        require_within("refinement", self, {"rays": (0, 1 << 20), "samples": (1, 1024), "channels": (1, 1024)})


class Refinement(nn.Module):
    """Correction = network(value, gradient, what the planes were written from); it is next to nothing at first.

    Args:
        config: how closely the context views are looked at.
        field: what is corrected.
        fine: cells along a side of the grid of colors seen.
        inside: channels of the maps that the planes were written from.
    """

    backend = "auto"  # of the rendering: see `Generator.use_backend`

    def __init__(self, config: RefinementConfig, field: FieldSpec, fine: int, inside: int) -> None:
        super().__init__()
        self.config, self.fine = config, fine
        if not (field.plane_resolution or field.volume_resolution):
            raise InputError("refinement corrects planes and volume: set field.plane_resolution or field.volume_resolution")
        self.networks = nn.ModuleDict()
        if field.plane_resolution:
            self.networks["planes"] = _convolutions(Convolution2d, field.plane_channels, inside, config.channels, 2)
        if field.volume_resolution:
            self.networks["volume"] = _convolutions(Convolution3d, field.volume_channels, 0, config.channels, 1)

    def forward(
        self,
        weights: FieldWeights,
        maps: Float[Tensor, "image inside rows columns"] | None,
        context: ContextViews,
        seen: Float[Tensor, "scene place color"],
    ) -> FieldWeights:
        """`maps`: what the planes were written from; `seen` as `Lift` gives it for the context.

        The gradient itself is data: nothing is differentiated twice.
        """
        views, pixels = context.images.shape[1], context.images[0, 0, ..., 0].numel()
        learning = self.training and torch.is_grad_enabled()
        count = max(1, self.config.rays // views) if learning else max(AT_LEAST, pixels // 4)
        gradients = self._gradients(weights, context_rays(context, count), context.background, hull_cells(seen, self.fine))
        tensors = dict(weights.tensors)
        for name, network in self.networks.items():
            value, slope = tensors[name], GAIN * gradients[name]
            grids = [torch.cat([value, slope.clamp(-5, 5), torch.asinh(STEEP * slope)], dim=2).flatten(0, 1)]
            if name == "planes" and maps is not None:
                grids.append(maps)
            tensors[name] = value + network(torch.cat(grids, dim=1)).reshape(value.shape)
        return FieldWeights(weights.spec, tensors)

    def _gradients(
        self, weights: FieldWeights, chosen: ContextRays, background: Tensor, occupancy: OccupancyGrid
    ) -> dict[str, Tensor]:
        """Of the sum over views of the mean squared error: more views are more evidence."""
        tensors = {name: tensor.detach() for name, tensor in weights.tensors.items()}
        total: dict[str, Tensor] = {}
        with torch.enable_grad():
            wanted = {name: tensors[name].requires_grad_() for name in self.networks}
            size = max(1, CHUNK // len(weights))
            for first in range(0, chosen.colors.shape[1], size):
                part = slice(first, first + size)
                rays = RayBundle(chosen.rays.origins[:, part], chosen.rays.directions[:, part])
                guess = render_rays(
                    FieldWeights(weights.spec, tensors), rays, background, self.config.samples, occupancy,
                    backend=self.backend, bins=2 * self.config.samples,
                )  # fmt: skip
                error = ((guess.color - chosen.colors[:, part]).square().mean(-1) * chosen.shares[:, part]).sum()
                for name, slope in zip(wanted, torch.autograd.grad(error, list(wanted.values())), strict=True):
                    total[name] = total[name] + slope if name in total else slope
        return total


@dataclass(frozen=True)
class ContextRays:
    """Rays of the context views, what they saw, and the share of each in the error, which sum to the number of views."""

    rays: RayBundle
    colors: Float[Tensor, "scene ray 3"]
    shares: Float[Tensor, "scene ray"]


def context_rays(context: ContextViews, count: int) -> ContextRays:
    """`count` rays of each view, or all; most of them see the object, and shares make up for that.

    Which are taken is a function of the images alone, so that a step of training can be repeated.
    """
    colors = context.images.flatten(2, 3)
    pixels = colors.shape[2]
    if count >= pixels:
        chosen = torch.arange(pixels, device=colors.device).expand(colors.shape[:3])
        shares = torch.full(colors.shape[:3], 1 / pixels, device=colors.device)
    else:
        chance = ray_chances(context).flatten(2)
        # the smallest of exponential variates are a sample by chance without replacement, and the next one tells how probable
        # each of them was (bottom-k sketches: Cohen & Kaplan 2007); to put them in order as well takes five times as long
        variates = _noise(pixels).to(colors.device) / chance
        smallest = variates.topk(count + 1, largest=False, sorted=False)
        following, last = smallest.values.max(2, keepdim=True)
        chosen = smallest.indices.scatter(2, last, smallest.indices[..., -1:])[..., :-1]
        shares = -1 / torch.expm1(-chance.gather(2, chosen) * following)
        shares = shares / shares.sum(2, keepdim=True)
        colors = colors.gather(2, chosen[..., None].expand(-1, -1, -1, 3))
    rays = camera_rays(context.cameras, chosen)
    rays = RayBundle(rays.origins.flatten(1, 2), rays.directions.flatten(1, 2))
    return ContextRays(rays, colors.flatten(1, 2), shares.flatten(1))


@lru_cache
def _noise(pixels: int) -> Float[Tensor, " pixel"]:
    """Exponential variates, always the same. Kept for the next who asks: not to be changed."""
    return torch.empty(pixels).exponential_(generator=torch.Generator().manual_seed(0))


def ray_chances(context: ContextViews) -> Float[Tensor, "scene view row column"]:
    """How often a pixel is taken, against one of the object. Far from the object rays meet nothing that could be corrected."""
    seen = (context.images - context.background[:, None, None, None]).abs().amax(-1) > FOREGROUND / 4
    reach = max(1, seen.shape[2] // NEAR)
    near = nn.functional.max_pool2d(seen.float(), 2 * reach + 1, stride=1, padding=reach) > 0
    return torch.where(seen, 1.0, torch.where(near, NEAR_SHARE, FAR_SHARE))


def hull_cells(seen: Float[Tensor, "scene place color"], size: int) -> OccupancyGrid:
    """Where no view shows background, and the cells around."""
    full = torch.zeros(len(seen), size**3, dtype=torch.bool, device=seen.device)
    full[:, ball_cells(size).to(seen.device)] = seen[..., LEAST] > -0.9
    return dilated(full.unflatten(-1, (size,) * 3))


def _convolutions(
    kind: type[Convolution2d] | type[Convolution3d], values: int, inside: int, channels: int, hidden: int
) -> nn.Sequential:
    """From `values` channels, twice as many of the gradient and `inside` of maps to `values`, through `hidden` layers."""
    layers: list[nn.Module] = []
    inputs = 3 * values + inside
    for _ in range(hidden):
        layers += [kind(inputs, channels, 3, padding=1), nn.ReLU()]
        inputs = channels
    last = kind(channels, values, 3, padding=1)
    nn.init.normal_(last.weight, std=1e-3 / channels**0.5)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers, last)
