from __future__ import annotations

import numpy as np
import pytest
import torch

from salign.maps import min_max, resize
from salign.maps.overlay import heat_colours, lay_over, scaled


@pytest.mark.parametrize("name", ["signed", "constant", "zero", "rounding", "tiny"])
def test_scaling_is_that_of_tensors(name):
    signed = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    maps = {
        "signed": signed,
        "constant": np.full((3, 3), 4.0, np.float32),
        "zero": np.zeros((3, 3), np.float32),
        "rounding": 100 + 1e-4 * signed,
        "tiny": 1e-25 * signed,
    }
    expected = min_max(torch.from_numpy(maps[name])).numpy()
    np.testing.assert_allclose(scaled(maps[name]), expected, atol=1e-6)
    assert (expected.max() == 0) == (name != "signed")


@pytest.mark.parametrize("size", [(40, 60), (3, 60), (40, 4), (3, 4), (5, 7)])
def test_an_overlay_blends_by_the_resized_map(size):
    """The map is resized as tensors are, where it has neither an outline nor a colour that rounds to another."""
    values = (0.49 * np.random.default_rng(0).random((5, 7))).astype(np.float32)
    fitted = resize(torch.from_numpy(values), size).numpy()
    pixels = np.full((*size, 3), 200, np.uint8)
    opacity = 0.55 * fitted[..., None]
    expected = (1 - opacity) * 200 + opacity * heat_colours(fitted)
    assert np.abs(lay_over(pixels, values) - expected).max() <= 1.01


def test_colours_at_the_ends():
    assert heat_colours(np.array([[0.0, 1.0]], np.float32)).tolist() == [[[0x0D, 0x08, 0x87], [0xF0, 0xF9, 0x21]]]
