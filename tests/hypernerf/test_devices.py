"""Nothing in a training step mixes devices. Torch's `meta` device stands for a GPU: an operation on it and on the CPU together
is an error, as it would be between a GPU and the CPU."""

import pytest
import torch

from hypernerf.fields import FieldSpec, radiance_field
from hypernerf.models import (
    EncoderConfig,
    Generator,
    GeneratorConfig,
    HypernetworkConfig,
    ImageEncoderConfig,
    LiftConfig,
    SetEncoderConfig,
)
from hypernerf.rendering import OccupancyGrid, render_rays
from hypernerf.types import Cameras, ContextViews, RayBundle, SceneBatch


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_a_training_step_stays_on_the_models_device(kind):
    config = GeneratorConfig(
        EncoderConfig(
            ImageEncoderConfig(16, (8, 16)), SetEncoderConfig(kind, 32, queries=4, layers=1, heads=2), LiftConfig(4, 8)
        ),
        HypernetworkConfig(latent=24, width=32, rank=2),
        FieldSpec(width=16, depth=2, position_frequencies=2, plane_resolution=8, volume_resolution=4),
    )
    model = Generator(config).to("meta")
    context = ContextViews(
        torch.rand(2, 3, 16, 16, 3), Cameras(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4), 16, 16), torch.ones(2, 3)
    )
    batch = SceneBatch(
        context,
        RayBundle(torch.rand(2, 8, 3), torch.rand(2, 8, 3)),
        target_colors=torch.rand(2, 8, 3),
        target_importance=torch.ones(2, 8),
        target_masks=None,
        hull_points=torch.rand(2, 5, 3),
        hull_inside=torch.rand(2, 5),
    ).to("meta")
    weights = model(batch.context)
    occupancy = OccupancyGrid(torch.ones(1, 8, 8, 8, dtype=torch.bool))
    jitter = torch.rand(2, 8, 6, device="meta")
    seen = render_rays(weights, batch.target_rays, batch.context.background, 6, occupancy.to("meta"), jitter)
    density = radiance_field(batch.hull_points, torch.zeros_like(batch.hull_points), weights).density
    ((seen.color - batch.target_colors).sum() + density.sum()).backward()
    assert {p.grad.device.type for p in model.parameters()} == {"meta"} and weights.device.type == "meta"
    with pytest.raises(RuntimeError, match="device"):  # and mixing would be seen
        render_rays(weights, batch.target_rays, batch.context.background, 6, occupancy, jitter)
