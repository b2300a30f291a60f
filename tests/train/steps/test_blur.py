from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchvision.transforms.v2 import functional as F

from salign.errors import SalignError
from salign.train.steps import STEPS, blur_outside
from salign.types import DRAWS, Batch

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


def batch_of(draws, annotated=True):
    """As many times the same picture and map as there are draws."""
    count = len(draws)
    looked = torch.full((count,), annotated)
    images, maps = picture().expand(count, -1, -1, -1), marked().expand(count, -1, -1, -1)
    return Batch(images, torch.zeros(count).long(), maps, looked, torch.arange(count), draw=torch.tensor(draws))


def test_the_image_as_it_is_and_each_level_come_equally_often():
    sigmas = (1.0, 2.0, 4.0)
    draws = torch.randint(DRAWS, (400,), generator=torch.Generator().manual_seed(0)).tolist()
    shown = STEPS["blur"](sigmas=sigmas)(batch_of(draws), None, 0).images
    levels = [picture(), *(blur_outside(picture(), marked(), sigma) for sigma in sigmas)]
    found = [[torch.equal(image, level) for level in levels].index(True) for image in shown]
    assert found == [draw % 4 for draw in draws]
    assert all(abs(found.count(k) - 100) < 35 for k in range(4))  # four standard deviations


def test_every_choice_of_up_to_twenty_is_as_likely():
    assert [n for n in range(1, 21) if DRAWS % n] == []


def test_an_image_that_nobody_looked_at_stays_and_the_batch_is_left_alone():
    batch = batch_of([1, 2])
    before = batch.images.clone()
    assert not torch.equal(STEPS["blur"]()(batch, None, 0).images, before)
    assert torch.equal(batch.images, before)
    assert torch.equal(STEPS["blur"]()(batch_of([1, 2], annotated=False), None, 0).images, before)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("inf"), float("nan")])
def test_a_sigma_that_is_none_is_refused(sigma):
    with pytest.raises(SalignError, match="blur: sigmas are above 0 pixels; got 2"):
        STEPS["blur"](sigmas=[2.0, sigma])
