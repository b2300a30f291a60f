from __future__ import annotations

import math

import pytest
import torch

from salign.errors import SalignError
from salign.maps.smooth import pixels_per_degree, sigma_in_pixels, smooth


def direct(values: torch.Tensor, sigma: float) -> torch.Tensor:
    """The sum itself: every pixel to every other, the kernel cut at 4 sigma and summing to one each way."""
    matrices = []
    for side in values.shape:
        away = torch.arange(side)[:, None] - torch.arange(side)
        reach = min(math.ceil(4 * sigma), side)
        kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).double() / sigma) ** 2)
        weights = torch.exp(-0.5 * (away.double() / sigma) ** 2) / kernel.sum()
        matrices.append(torch.where(away.abs() <= reach, weights, 0.0))
    return matrices[0] @ values.double() @ matrices[1].T


@pytest.mark.parametrize("sigma", [0.5, 2, 30])
def test_smoothing_is_the_sum_itself(sigma):
    maps = torch.rand(2, 3, 12, 17, generator=torch.Generator().manual_seed(0))
    found = smooth(maps, sigma)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(found[i, j].double(), direct(maps[i, j], sigma), atol=1e-6, rtol=0)
    assert found.dtype == maps.dtype


def test_a_point_becomes_a_gaussian_of_that_width():
    point = torch.zeros(101, 101).double()
    point[50, 50] = 1
    found = smooth(point, 6.0)
    assert found.sum().item() == pytest.approx(1, abs=1e-3)
    away = (torch.arange(101).double() - 50).square()
    assert ((found.sum(0) * away).sum() / found.sum()).sqrt().item() == pytest.approx(6, rel=0.01)
    assert found[50, 50].item() == pytest.approx(1 / (2 * math.pi * 36), rel=0.01)


def test_nothing_gets_brighter_and_blank_stays_blank():
    maps = torch.zeros(2, 20, 20)
    maps[0, :, :4] = 1
    found = smooth(maps, 3)
    assert found[0].max() <= 1
    assert not found[1].any()
    assert smooth(maps, 0) is maps


@pytest.mark.parametrize("sigma", [-1, math.nan, math.inf])
def test_sigma_is_not_negative(sigma):
    with pytest.raises(SalignError, match="sigma: expected a number of 0 or more"):
        smooth(torch.zeros(3, 3), sigma)


def test_maps_are_floating_point():
    with pytest.raises(SalignError, match="floating point"):
        smooth(torch.zeros(3, 3, dtype=torch.uint8), 1)


def test_degrees():
    """A screen 52 cm wide with 1,920 pixels, seen from 57.3 cm, where a degree is a centimetre."""
    assert pixels_per_degree(57.3, 52, 1920) == pytest.approx(1920 / 52, rel=1e-3)
    assert sigma_in_pixels(0.5, 37) == 18.5
    with pytest.raises(SalignError, match="> 0"):
        pixels_per_degree(0, 52, 1920)
    with pytest.raises(SalignError, match="> 0"):
        sigma_in_pixels(1, -3)
