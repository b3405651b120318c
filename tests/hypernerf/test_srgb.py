"""Display encoding against published values, and there and back."""

from __future__ import annotations

import numpy as np

from hypernerf.srgb import to_display, to_linear

PUBLISHED = {0: 0.0, 1: 0.000304, 10: 0.003035, 11: 0.003347, 55: 0.038204, 128: 0.215861, 188: 0.502886, 255: 1.0}  # of 255


def test_the_encoding_has_its_published_values():
    shown, light = np.array(list(PUBLISHED)) / 255, np.array(list(PUBLISHED.values()))
    assert np.abs(to_linear(shown) - light).max() < 1e-6
    assert np.abs(to_display(light) - shown).max() < 2e-5


def test_there_and_back_is_where_one_was():
    shown = np.linspace(0, 1, 4097)
    assert np.abs(to_display(to_linear(shown)) - shown).max() < 1e-7  # the two toes of the standard meet within that
