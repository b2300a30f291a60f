"""Outlines are proved by drawing them: what comes back is what was outlined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from salign.errors import SalignError
from salign.maps.outline import outlines
from salign.maps.rasterize import rasterize


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_a_mask_comes_back_exactly(mask):
    assert np.array_equal(rasterize(outlines(mask), mask.shape), mask)


def test_an_array_without_sides_is_refused():
    with pytest.raises(SalignError, match=r"expected a map \(H, W\), finite and >= 0, got \(0,\)\."):
        outlines(np.zeros(0))


def test_islands_in_holes_in_islands_come_back():
    rings = np.zeros((40, 44), bool)
    for k in range(9):
        rings[2 * k : 40 - 2 * k, 2 * k : 44 - 2 * k] = k % 2 == 0
    assert np.array_equal(rasterize(outlines(rings), rings.shape), rings)


@pytest.mark.parametrize("seed", range(5))
def test_of_a_soft_map_it_is_what_is_above_the_level(seed):
    soft = gaussian_filter(np.random.default_rng(seed).random((60, 80)), 4)
    soft -= soft.min()
    for level in (0.3, 0.5, 0.8):
        expected = soft >= level * soft.max()
        got = rasterize(outlines(soft, level), soft.shape)
        assert (got & expected).sum() / (got | expected).sum() > 0.995


def test_a_square_has_its_corners_between_the_pixels():
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    (one,) = outlines(mask)
    x, y = np.array(one.points).T
    assert (x.min(), x.max(), y.min(), y.max()) == (3.0, 7.0, 2.0, 4.0)


def test_specks_are_left_out():
    mask = np.zeros((20, 20), bool)
    mask[2:10, 2:10], mask[15, 15] = True, True
    kept = mask.copy()
    kept[15, 15] = False
    assert np.array_equal(rasterize(outlines(mask, smallest=0.01), mask.shape), kept)
    assert np.array_equal(rasterize(outlines(mask, smallest=0.001), mask.shape), mask)


def test_nothing_marked_has_no_outline_and_a_level_is_a_share():
    assert outlines(np.zeros((5, 5))) == []
    with pytest.raises(SalignError, match="level: expected a number above 0 and below 1, got 1"):
        outlines(np.ones((5, 5)), 1.0)
