from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import norm

from salign.data.map_changes import CENTRE_SIGMA, blobs, centre, inverted
from salign.maps import min_max, varies


def test_inverted_by_hand():
    saliency = torch.tensor([[0.25, 0.75], [0.5, 0.25]])
    torch.testing.assert_close(inverted(0, saliency, "a"), torch.tensor([[0.75, 0.25], [0.5, 0.75]]))


@given(arrays.arrays(np.float32, (5, 4), elements=st.floats(0, 1, width=32)))
@settings(max_examples=100, deadline=None)
def test_inverted_is_one_minus_the_scaled_map_and_twice_the_map(values):
    saliency = torch.from_numpy(values)
    once = inverted(0, saliency, "a")
    if not varies(saliency):
        assert not min_max(once).any()
    elif float(saliency.max() - saliency.min()) > 1e-3:  # nearer together, float32 has too few steps between them
        torch.testing.assert_close(min_max(once), 1 - min_max(saliency), rtol=0, atol=1e-3)
    torch.testing.assert_close(inverted(0, once, "a"), saliency, rtol=0, atol=1e-6)


def test_the_centre_prior_is_the_same_gaussian_for_everyone():
    generator = torch.Generator().manual_seed(0)
    first, second = (centre(k, torch.rand(60, 90, generator=generator), "ab"[k]) for k in range(2))
    assert torch.equal(first, second)
    down = norm.pdf((np.arange(60) + 0.5) / 60, 0.5, CENTRE_SIGMA)
    right = norm.pdf((np.arange(90) + 0.5) / 90, 0.5, CENTRE_SIGMA)
    expected = np.outer(down, right) / norm.pdf(0, 0, CENTRE_SIGMA) ** 2
    np.testing.assert_allclose(first.numpy(), expected, rtol=1e-4)
    assert pytest.approx(0.2345, abs=1e-4) == CENTRE_SIGMA
    assert (int(first.argmax()) // 90, int(first.argmax()) % 90) in itertools.product((29, 30), (44, 45))


@given(st.integers(0, 99), st.text(max_size=5), st.integers(1, 1999))
@settings(max_examples=60, deadline=None)
def test_blobs_have_the_area_of_the_map_and_nothing_else_of_it(seed, name, marked):
    saliency = torch.zeros(2000)
    saliency[:marked] = 1
    got = blobs(seed, saliency.view(40, 50), name)
    assert float(got.max()) == 1
    assert int((got > 0.5).sum()) == pytest.approx(marked, abs=1)
    elsewhere = saliency.flip(0) * 0.5 + 0.1
    assert torch.equal(blobs(seed, elsewhere.view(40, 50), name), got)


def test_blobs_lie_anywhere_and_differ_between_images_and_seeds():
    saliency = torch.zeros(40, 40)
    saliency[:8, :8] = 1
    drawn = torch.stack([blobs(seed, saliency, f"n{k}") for seed in range(4) for k in range(100)])
    assert len({bytes(one.numpy().tobytes()) for one in drawn}) == 400
    above = (drawn > 0.5).float().mean(0)
    quarters = above.view(2, 20, 2, 20).mean((1, 3))
    assert ((quarters - 0.04).abs() < 0.008).all()
    apart = pd.Series([float((one > 0.5).sum()) for one in drawn])
    assert apart.between(63, 65).all()
