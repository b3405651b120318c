"""Large sheets of chosen scenes."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw

from hypernerf.export.closeup import LEAST, Closeup, Column, _fitting, angles_to_context, closeup_sheet, spread_targets
from tests.conftest import orbit


def test_angles_are_to_the_nearest_view_that_was_read():
    cameras = orbit(36)  # ten degrees of azimuth between neighbors, at 20 degrees of elevation
    angles = angles_to_context(cameras, [0, 18], [0, 1, 9, 17])
    down = math.sin(math.radians(20)) ** 2  # of directions (cos e cos a, cos e sin a, sin e)
    expected = [math.degrees(math.acos((1 - down) * math.cos(math.radians(a)) + down)) for a in (0, 10, 90, 10)]
    np.testing.assert_allclose(angles.numpy(), expected, atol=0.05)


def test_targets_go_from_the_nearest_to_the_farthest():
    angles = torch.tensor([50.0, 10.0, 170.0, 90.0, 130.0])
    assert spread_targets(angles, 3) == [1, 3, 2]
    assert spread_targets(angles, 9) == [1, 0, 3, 4, 2] and spread_targets(angles, 1) == [1]


def test_every_image_is_at_least_so_large_and_in_its_place():
    size, colors = 40, {"forward": (0, 255, 0), "truth": (0, 0, 255)}  # unlike the words, which are gray
    columns = tuple(Column(title, (torch.tensor(c) / 255).expand(2, size, size, 3)) for title, c in colors.items())
    context = (torch.tensor([255, 0, 0]) / 255).expand(3, size, size, 3)
    sheet = np.asarray(closeup_sheet([Closeup("a", context, columns, ("near", "far"))] * 2))
    side = size * math.ceil(LEAST / size)
    assert side >= LEAST
    first = []
    for color, images in (((255, 0, 0), 2 * 3), ((0, 255, 0), 2 * 2), ((0, 0, 255), 2 * 2)):  # two scenes
        shown = (sheet == color).all(-1)
        assert shown.sum() == images * side * side
        first.append(int(np.flatnonzero(shown.any(0))[0]))
    assert first == sorted(first)


def test_long_names_are_shortened_to_their_column():
    draw = ImageDraw.Draw(Image.new("RGB", (400, 20)))
    assert _fitting(draw, "chair", ": read", 190) == "chair: read"
    shortened = _fitting(draw, "a_very_long_name_of_an_object_in_a_pack", ": read", 100)
    assert shortened.startswith("a_very") and shortened.endswith("…: read") and 80 < draw.textlength(shortened) <= 100
