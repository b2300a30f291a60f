from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from salign.runtime.resize import resize_pixels

SIZES = [((100, 80), (64, 64)), ((33, 500), (64, 32)), ((20, 30), (64, 64)), ((2, 2), (7, 9)), ((150, 90), (149, 90))]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_8_bits_come_out_as_training_sees_them_to_the_last_bit(before, after):
    pixels = np.random.default_rng(0).integers(0, 256, (*before, 3), dtype=np.uint8)
    expected = F.resize_image(torch.from_numpy(pixels).permute(2, 0, 1), list(after), antialias=True)
    far = np.abs(expected.permute(1, 2, 0).numpy().astype(int) - resize_pixels(pixels, after))
    assert far.max() <= (0 if "AVX" in torch.backends.cpu.get_cpu_capability() else 1)


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_deeper_pictures_come_out_within_rounding(before, after):
    pixels = np.random.default_rng(0).random((*before, 3), dtype=np.float32)
    expected = F.resize_image(torch.from_numpy(pixels).permute(2, 0, 1), list(after), antialias=True)
    np.testing.assert_allclose(resize_pixels(pixels, after), expected.permute(1, 2, 0).numpy(), atol=1e-6)


def test_known_numbers():
    """Two into one: a triangle of width 2 about the middle weighs the outer of four pixels 1 and the inner 3."""
    row = np.array([0, 80, 160, 240], dtype=np.uint8).reshape(1, 4, 1)
    assert resize_pixels(row, (1, 2)).ravel().tolist() == [57, 183]
