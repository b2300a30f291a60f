from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from salign.errors import SalignError
from salign.maps.region import region, surroundings


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_region_is_what_reaches_half_of_the_maximum_and_a_little_more():
    saliency = torch.zeros(2, 1, 40, 100)
    saliency[0, 0, 10:20, 30:50], saliency[0, 0, 30:35, 80:90] = 0.4, 0.19
    expected = torch.zeros(2, 1, 40, 100)
    expected[0, 0, 7:23, 27:53] = 1  # 3 % of 100
    assert torch.equal(region(saliency), expected)
    bare = region(saliency, threshold=0.4, grow=0)
    assert bare.sum() == 200 + 50
    assert torch.equal(region(saliency, threshold=0, grow=0), (saliency > 0).float())


@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 0.2))
def test_a_region_holds_the_peak_and_grows_with_its_arguments(seed, threshold, grow):
    saliency = torch.rand(3, 1, 9, 12, generator=seeded(seed))
    mask = region(saliency, threshold=threshold, grow=grow)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert (mask.flatten(1).gather(1, saliency.flatten(1).argmax(1, keepdim=True)) == 1).all()
    assert (mask >= region(saliency, threshold=threshold, grow=grow / 2)).all()
    assert (mask <= region(saliency, threshold=threshold / 2, grow=grow)).all()


@pytest.mark.parametrize("options", [{"threshold": 1.1}, {"threshold": -0.1}, {"grow": -0.1}])
def test_arguments_out_of_range(options):
    with pytest.raises(SalignError, match=f"{next(iter(options))}: expected a number from 0 to 1"):
        region(torch.ones(1, 1, 4, 4), **options)


@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 20), st.floats(0.05, 0.95))
@settings(deadline=None)
def test_what_is_painted_over_leaves_no_trace(seed, height, width, share):
    draw = seeded(seed)
    images = torch.rand(2, 3, height, width, generator=draw)
    regions = (torch.rand(2, 1, height, width, generator=draw) < share).float()
    hidden = regions.expand_as(images) == 1
    painted = surroundings(images, regions)
    assert torch.equal(painted[~hidden], images[~hidden])
    assert torch.equal(
        surroundings(torch.where(hidden, torch.rand(images.shape, generator=draw), images), regions), painted
    )
    for image, result, mask in zip(images, painted, regions[:, 0] == 1, strict=True):
        for channel in range(3):
            known = image[channel][~mask]
            low, high = (known.min(), known.max()) if len(known) else (0.5, 0.5)
            assert (result[channel] >= low - 1e-5).all()
            assert (result[channel] <= high + 1e-5).all()


def test_paint_takes_the_colours_nearby():
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1.0
    regions = torch.zeros(1, 1, 64, 64)
    regions[..., 20:30, 4:14] = 1
    regions[..., 40:50, 50:60] = 1
    painted = surroundings(image, regions)
    assert (painted - image).abs().max() < 0.01
