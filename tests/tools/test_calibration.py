"""Measures of predicted deviations, on errors of which they are known."""

import pytest
import torch

from members.calibration import coverage, sparsification_error


def test_sparsification_is_nothing_for_the_right_order_and_most_for_the_wrong_one():
    error = torch.rand(10_000)
    right, none, wrong = (sparsification_error(d, error) for d in (error * 3, torch.rand(10_000), -error))
    assert right == 0
    assert none == pytest.approx(0.5, abs=0.03)  # uniform errors: 1 against 1 - share left out
    assert wrong == pytest.approx(1.0, abs=0.03)


def test_coverage_of_gaussian_errors():
    deviation = torch.rand(50_000) + 0.1
    error = (torch.randn(50_000) * deviation).abs()
    assert coverage(deviation, error, 1.0) == pytest.approx(0.6827, abs=0.01)
    assert coverage(deviation, error, 2.0) == pytest.approx(0.9545, abs=0.01)
