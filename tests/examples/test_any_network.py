"""The example learns something, and says so."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))
import any_network


@pytest.mark.usefixtures("_one_thread")
def test_written_networks_beat_their_mean():
    torch.manual_seed(1)
    error, mean = any_network.learn(any_network.boxes, any_network.PointSet(), 1, steps=250)
    assert error < mean / 8
    picture = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64))
    error, mean = any_network.learn(any_network.images, picture, 3, steps=250)
    assert error < mean / 2.5


def test_distances_are_those_of_a_box():
    for seed in range(3):
        torch.manual_seed(seed)
        points, _ = any_network.boxes(20, torch.zeros(20, 1, 3))
        torch.manual_seed(seed)
        _, distance = any_network.boxes(20, points)  # the same boxes, asked where their own surface is
        assert distance.abs().max() < 1e-5
        torch.manual_seed(seed)
        _, distance = any_network.boxes(20, points + 10)
        nearest = (points[:, None] - (points + 10)[:, :, None]).norm(dim=-1).amin(-1)
        assert (distance[..., 0] <= nearest + 1e-4).all() and (distance[..., 0] > 0.7 * nearest).all()
