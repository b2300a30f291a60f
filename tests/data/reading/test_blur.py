from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchvision.transforms.v2 import functional as F

from salign.data.reading.blur import blur_outside, randomly_blurred
from salign.data.reading.transforms import AUGMENTATIONS, build_transform
from salign.errors import SalignError

LEVELS = [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0]


def picture(height=40, width=56, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def marked(height=40, width=56):
    """A map with everything: nothing, all, and half."""
    saliency = torch.zeros(1, height, width)
    saliency[:, 8:20, 8:20] = 0.8
    saliency[:, 24:30, 30:40] = 0.4
    return saliency


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
def test_it_is_the_image_inside_the_blur_outside_and_half_of_each_between(sigma):
    image, saliency = picture(), marked()
    got = blur_outside(image, saliency, sigma)
    radius = int(np.ceil(3 * sigma))
    blurred = np.stack([gaussian_filter(channel, sigma, mode="mirror", radius=radius) for channel in image.numpy()])
    assert torch.equal(got[:, 8:20, 8:20], image[:, 8:20, 8:20])
    np.testing.assert_allclose(got[:, :8].numpy(), blurred[:, :8], atol=1e-5)
    half = (image.numpy() + blurred) / 2
    np.testing.assert_allclose(got[:, 24:30, 30:40].numpy(), half[:, 24:30, 30:40], atol=1e-5)
    assert float(got.min()) >= 0
    assert float(got.max()) <= 1


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_one_axis_at_a_time_is_the_blur_of_torchvision(sigma):
    image, saliency = picture(64, 80), torch.zeros(1, 64, 80)
    saliency[0, 0, 0] = 1
    side = 2 * int(3 * sigma) + 1
    expected = F.gaussian_blur_image(image, [side, side], [sigma])
    torch.testing.assert_close(blur_outside(image, saliency, sigma)[:, 1:], expected[:, 1:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.4])
def test_a_map_without_shape_leaves_the_image(level):
    image = picture()
    assert torch.equal(blur_outside(image, torch.full((1, 40, 56), level), 8.0), image)


def test_a_gaussian_wider_than_the_image_averages_it():
    image, saliency = picture(9, 12), torch.zeros(1, 9, 12)
    saliency[0, 4, 6] = 1
    got = blur_outside(image, saliency, 16.0)
    outside = saliency[0] == 0
    assert float(got[:, outside].std(1).max()) < 0.04
    assert (got[:, outside].mean(1) - image.mean((1, 2))).abs().max() < 0.04
    assert torch.equal(got[:, 4, 6], image[:, 4, 6])


def test_the_image_as_it_is_and_each_level_come_equally_often():
    image, saliency, sigmas = picture(8, 8), torch.zeros(1, 8, 8), [1.0, 2.0, 4.0]
    saliency[0, 3, 3] = 1
    shown = [image, *(blur_outside(image, saliency, sigma) for sigma in sigmas)]
    torch.manual_seed(0)
    counts = [0] * 4
    for _ in range(1200):
        got = randomly_blurred(image, saliency, sigmas)
        counts[[torch.equal(got, one) for one in shown].index(True)] += 1
    assert all(abs(count - 300) < 60 for count in counts)  # four standard deviations


@pytest.mark.parametrize("augment", sorted(AUGMENTATIONS))
def test_other_draws_are_those_of_a_run_without_and_the_map_stays(augment):
    image, saliency = (picture() * 255).byte(), marked()
    plain, blurring = build_transform(32, augment), build_transform(32, augment, LEVELS)
    changed = 0
    for seed in range(20):
        torch.manual_seed(seed)
        as_it_is, moved = plain(image, saliency)
        torch.manual_seed(seed)
        blurred, same = blurring(image, saliency)
        assert torch.equal(moved, same)
        inside = (moved[0] - moved.max()).abs() < 1e-6
        torch.testing.assert_close(blurred[:, inside], as_it_is[:, inside], rtol=0, atol=1e-6)
        changed += not torch.equal(blurred, as_it_is)
        for nothing in (None, torch.zeros(1, 40, 56)):
            torch.manual_seed(seed)
            untouched, _ = blurring(image, nothing)
            assert torch.equal(untouched, as_it_is)
    assert 13 <= changed <= 20  # eight in nine


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("inf"), float("nan")])
def test_a_sigma_that_is_none_is_refused(sigma):
    with pytest.raises(SalignError, match="blur_outside: sigmas are above 0 pixels; got 2"):
        build_transform(32, blur=[2.0, sigma])
