"""The hypernetwork of the radiance fields writes any small network: here the signed distance of a box, from points on its
surface, and an image as a function of place, from its pixels. Run it: python examples/any_network.py"""

import torch
from torch import nn

from hypernerf.models import Hypernetwork, HypernetworkConfig
from hypernerf.ops import batched_mlp, frequency_encoding


def boxes(count, places):
    """Points [box, 64, 3] on boxes, and the boxes' signed distances [box, place, 1]."""
    center, half = torch.rand(count, 1, 3) - 0.5, 0.1 + 0.4 * torch.rand(count, 1, 3)
    inside = torch.rand(count, 64, 3) * 2 - 1
    side = nn.functional.one_hot(torch.randint(3, (count, 64)), 3).bool()
    away = (places - center).abs() - half
    distance = away.clamp_min(0).norm(dim=-1) + away.amax(-1).clamp_max(0)
    return center + half * torch.where(side, inside.sign(), inside), distance[..., None]


def images(count, places):
    """Pictures [image, 256, 3] of 16x16 pixels, and colors [image, place, 3]: three soft spots of random color and place."""
    where, color = torch.rand(count, 1, 3, 2) * 2 - 1, torch.rand(count, 1, 3, 3)
    axis = (torch.arange(16) + 0.5) / 8 - 1
    pixels = torch.cartesian_prod(axis, axis)
    paint = lambda at: (torch.exp(-4 * (at[..., None, :2] - where).square().sum(-1))[..., None] * color).sum(-2)
    return paint(pixels.expand(count, 256, 2)), paint(places)


def learn(draw, encoder, outputs, steps=400):
    """(mean squared error of the networks written for unseen things, that of their mean) after some seconds."""
    base = {
        "layer_0": torch.randn(32, 16) * 0.35,
        "layer_1": torch.randn(32, 32) * 0.25,
        "layer_2": torch.randn(outputs, 32) * 0.1,
    }
    hypernetwork = Hypernetwork(HypernetworkConfig(latent=64, width=64, head="low_rank", rank=4), base)
    predict = lambda seen, places: batched_mlp(frequency_encoding(places, 2), list(hypernetwork(encoder(seen)).values()))
    parameters = [*encoder.parameters(), *hypernetwork.parameters()]
    optimizer = torch.optim.Adam(parameters, 3e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        places = torch.rand(32, 64, 3) * 2 - 1
        seen, values = draw(32, places)
        optimizer.zero_grad()
        (predict(seen, places) - values).square().mean().backward()
        optimizer.step()
    places = (torch.rand(1, 256, 3) * 2 - 1).expand(512, 256, 3)
    seen, values = draw(512, places)
    with torch.no_grad():
        return float((predict(seen, places) - values).square().mean()), float((values - values.mean(0)).square().mean())


class PointSet(nn.Sequential):
    """Points [set, point, 3] to [set, 64], in any order (Qi et al. 2017)."""

    def __init__(self):
        super().__init__(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, points):
        return super().forward(points).amax(1)


def main():
    torch.manual_seed(0)
    picture = nn.Sequential(nn.Flatten(), nn.Linear(768, 64), nn.ReLU(), nn.Linear(64, 64))
    for name, result in {
        "box, from points": learn(boxes, PointSet(), 1),
        "image, from pixels": learn(images, picture, 3),
    }.items():
        print(f"{name}: squared error {result[0]:.5f}, of the mean {result[1]:.5f}: {result[1] / result[0]:.1f} times less")


if __name__ == "__main__":
    main()
