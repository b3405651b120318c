"""Learning what is uncertain, and using it: the energy score of sampled fields, predicted deviations, the view to take next."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..fields import FieldDistribution
from ..models import Generator
from ..rendering import RenderSettings, render_rays, render_views
from ..types import Cameras
from .step import Step

SAMPLES = 2  # fields a scene and step: the fewest whose energy score has no bias
SHARE = 4  # one ray in so many is drawn from the samples
# Independent values in an image over their noise's variance: 30 at a deviation of 0.1. On 32 scenes, 30,000 suggested views about
# as good; 300 lost half of what they gain over any view, and with 30 the sum of squared deviations alone counts.
EVIDENCE = 3000.0


def energy_score(samples: Float[Tensor, "sample *place color"], truth: Float[Tensor, "*place color"]) -> Float[Tensor, "*place"]:
    """mean_m |x_m - y| - 1/2 mean_{m != n} |x_m - x_n|: least in expectation when x and y are drawn alike.

    A strictly proper score (Gneiting & Raftery 2007), here in its form without bias for a few samples.
    """
    count = len(samples)
    near = _norm(samples - truth).mean(0)
    apart = _norm(samples[:, None] - samples[None]).sum((0, 1)) / (count * (count - 1))
    return near - 0.5 * apart


def _norm(values: Tensor) -> Tensor:
    return (values.square().sum(-1) + 1e-8).sqrt()  # with a gradient at 0


def spread_objective(model: Generator, step: Step) -> Tensor:
    """Samples of the scenes' fields should be where the truth may be. Changes the factors alone, never the mean."""
    batch, config = step.batch, step.config
    factors = model.hypernetwork.factors(step.code.latent, step.code.lifted)
    written = FieldDistribution(step.weights.map(Tensor.detach), factors)
    scenes = len(written.mean)
    noise = torch.randn(SAMPLES, scenes, written.rank, generator=step.generator).to(batch.target_colors.device)
    start = int(torch.randint(SHARE, (), generator=step.generator))
    rays = batch.target_rays[:, start::SHARE]
    count = rays.origins.shape[1]
    rays = type(rays)(rays.origins.repeat(SAMPLES, 1, 1), rays.directions.repeat(SAMPLES, 1, 1))
    jitter = torch.rand(SAMPLES * scenes, count, config.samples, generator=step.generator).to(rays.origins.device)
    background = batch.context.background.repeat(SAMPLES, 1)
    output = render_rays(written.sample(noise), rays, background, config.samples, step.occupancy, jitter, config.backend)
    colors = output.color.unflatten(0, (SAMPLES, scenes))
    return config.loss.spread * energy_score(colors, batch.target_colors[:, start::SHARE]).mean()


@torch.no_grad()
def predicted_deviation(
    distribution: FieldDistribution, cameras: Cameras, background: Float[Tensor, " 3"], settings: RenderSettings, samples: int = 8
) -> tuple[Float[Tensor, "view height width 3"], Float[Tensor, "view height width"]]:
    """(colors of the mean field, root mean square deviation of sampled fields' colors from them)."""
    noise = torch.randn(samples, 1, distribution.rank, generator=torch.Generator().manual_seed(0))
    fields = distribution.sample(noise.to(distribution.mean.device))
    mean = render_views(distribution.mean, cameras, background, settings).color
    total = torch.zeros(mean.shape[:-1])
    for number in range(samples):
        total += (render_views(fields[number : number + 1], cameras, background, settings).color - mean).square().mean(-1)
    return mean, (total / samples).sqrt()


@torch.no_grad()
def view_values(
    distribution: FieldDistribution, cameras: Cameras, background: Float[Tensor, " 3"], settings: RenderSettings
) -> Float[Tensor, " view"]:
    """Share in 0..1 of the squared deviation, over all the cameras' pixels, that each one's view is expected to take away.

    An image is mean + sum_k z_k J_k + noise, J_k: how it changes with factor k. Given the image of view v, the covariance of z is
    S_v = (I + EVIDENCE G_v)^-1 with G_v = mean_pixels J J^T, and what is left of tr G is tr(G S_v), with G the mean of all G_v
    (A-optimal design: Chaloner & Verdinelli 1995). The pixels' deviation alone would ask for views that are uncertain in one way.
    """
    rank = distribution.rank
    fields = distribution.sample(torch.eye(rank, device=distribution.mean.device)[:, None])
    mean = render_views(distribution.mean, cameras, background, settings).color
    changes = [render_views(fields[k : k + 1], cameras, background, settings).color - mean for k in range(rank)]
    change = torch.stack(changes, dim=1).flatten(2)
    gram = change @ change.transpose(1, 2) / change.shape[-1]
    left = torch.linalg.inv(torch.eye(rank) + EVIDENCE * gram)
    total = gram.mean(0)
    return 1 - torch.einsum("ij,vji->v", total, left) / total.trace().clamp_min(1e-12)
