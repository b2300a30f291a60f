from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from scipy.stats import norm

from salign.data.controls.pixels import CENTRE_SIGMA, blobs, boxes, centre, dilated, inverted, shifted
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


def slow_dilation(values, down, right):
    """Each pixel's largest neighbour, one by one."""
    grown = np.empty_like(values)
    for row, column in np.ndindex(values.shape):
        near = values[max(0, row - down) : row + down + 1, max(0, column - right) : column + right + 1]
        grown[row, column] = near.max()
    return grown


def pixels(share, side):
    """A share of a side, to the nearest pixel, at least one."""
    return max(1, math.floor(share * side + 0.5))


soft_maps = arrays.arrays(
    np.float32, st.tuples(st.integers(2, 14), st.integers(2, 14)), elements=st.sampled_from([0.0, 0.0, 0.0, 0.25, 1.0])
)


@given(soft_maps, st.floats(0.01, 1))
@settings(max_examples=150, deadline=None)
def test_dilation_is_the_largest_value_around_as_far_as_a_shape_is_left(values, share):
    saliency = torch.from_numpy(values)
    down, right = (pixels(share, side) for side in values.shape)
    grown = values
    while (down or right) and bool(varies(saliency)):
        grown = slow_dilation(values, down, right)
        if grown.min() < grown.max():
            break
        down, right, grown = down // 2, right // 2, values
    np.testing.assert_array_equal(dilated(0, saliency, "a", share), grown)


def test_dilation_by_hand():
    """On 40 x 60 a tenth is 4 rows and 6 columns: a pixel becomes 9 x 13, and of two values the larger one stays."""
    saliency = torch.zeros(40, 60)
    saliency[20, 30], saliency[20, 33] = 1.0, 0.5
    expected = torch.zeros(40, 60)
    expected[16:25, 27:40] = 0.5
    expected[16:25, 24:37] = 1.0
    assert torch.equal(dilated(7, saliency, "x", 0.1), expected)
    assert int((dilated(0, saliency, "a", 0.05) == 1).sum()) == 5 * 7
    for structure in ((5, 7), (9, 13)):
        grown = ndimage.grey_dilation(saliency.numpy(), size=structure)
        np.testing.assert_array_equal(dilated(0, saliency, "a", structure[0] // 2 / 40), grown)
    nearly = torch.ones(40, 60)
    nearly[0, 0] = 0
    assert torch.equal(dilated(0, nearly, "a", 0.5), nearly), "no shape would be left at any distance"
    nearly[:5, :5] = 0
    left = torch.ones(40, 60)
    left[:3, :2] = 0
    assert torch.equal(dilated(0, nearly, "a", 0.1), left), "4 rows and 6 columns are too many, 2 and 3 are not"


def offsets(before, after):
    """All moves `(down, right)` that make `after` of `before` with zeros behind, by looking at every pixel."""
    height, width = before.shape
    around = np.pad(before, ((height, height), (width, width)))
    return [
        (down, right)
        for down, right in itertools.product(range(1 - height, height), range(1 - width, width))
        if np.array_equal(around[height - down : 2 * height - down, width - right : 2 * width - right], after)
    ]


@given(st.integers(0, 99), st.text(max_size=5), st.floats(0.02, 0.45))
@settings(max_examples=80, deadline=None)
def test_a_map_is_moved_by_the_share_without_coming_in_at_the_other_side(seed, name, share):
    """The share in both directions is one of the four moves of the drawn angle; in the middle none is refused."""
    saliency = torch.zeros(20, 30)
    saliency[9:11, 14:17] = torch.tensor([[0.5, 1.0, 0.25], [1.0, 0.75, 1.0]])
    moved = shifted(seed, saliency, name, share)
    ((down, right),) = offsets(saliency.numpy(), moved.numpy())
    tall, wide = max(1, share * 20), max(1, share * 30)
    radius = math.hypot(down / tall, right / wide)
    assert abs(radius - 1) <= math.hypot(0.5 / tall, 0.5 / wide) + 1e-6  # either rounded to a pixel
    assert (down, right) != (0, 0)
    assert torch.equal(shifted(seed, saliency, name, share), moved)
    angle = math.atan2(down / tall, right / wide)
    ((far_down, far_right),) = offsets(saliency.numpy(), shifted(seed, saliency, name, 0.25).numpy())
    between = (angle - math.atan2(far_down / 5, far_right / 7.5) + math.pi) % (2 * math.pi) - math.pi
    assert abs(between) <= 2 * math.hypot(0.5 / tall, 0.5 / wide) + 0.2, "the same way at every share, to rounding"


def test_maps_are_moved_all_ways_and_differently_for_images_and_seeds():
    saliency = torch.zeros(41, 41)
    saliency[20, 20] = 1
    marks = [
        np.unravel_index(int(shifted(seed, saliency, f"n{k}", 0.25).argmax()), (41, 41))
        for seed in range(4)
        for k in range(100)
    ]
    angles = np.array([math.atan2(row - 20, column - 20) for row, column in marks])
    octants = np.bincount(((angles + math.pi) // (math.pi / 4)).astype(int) % 8, minlength=8)
    assert octants.sum() == 400
    assert (abs(octants - 50) < 28).all()  # 4 standard errors
    assert len(set(marks)) > 40


@given(soft_maps, st.integers(0, 9), st.floats(0.02, 1))
@settings(max_examples=150, deadline=None)
def test_something_that_was_marked_is_left_of_a_moved_map(values, seed, share):
    saliency = torch.from_numpy(values)
    moved = shifted(seed, saliency, "a", share)
    if not varies(saliency):
        assert torch.equal(moved, saliency)
        return
    assert varies(moved)
    assert float(moved.max()) >= values.max() / 2
    assert not torch.equal(moved, saliency)
    found = offsets(values, moved.numpy())
    assert any(abs(down) <= pixels(share, values.shape[0]) for down, _ in found)
    assert any(abs(right) <= pixels(share, values.shape[1]) for _, right in found)


def test_a_map_that_would_leave_turns_round_before_it_moves_less():
    """Marked at the right border: those whose way is to the right turn round, and all are moved by 10 pixels."""
    saliency = torch.zeros(41, 41)
    saliency[20, 40] = 1
    middle = saliency.roll(-20, 1)
    for k in range(40):
        row, column = (int(at) for at in divmod(int(shifted(0, saliency, f"n{k}", 10 / 41).argmax()), 41))
        down, right = (int(at) - 20 for at in divmod(int(shifted(0, middle, f"n{k}", 10 / 41).argmax()), 41))
        assert (row - 20, column - 40) == ((down, right) if right <= 0 else (-down, -right))
    alone = torch.zeros(41, 41)
    alone[20, 20] = 1
    row, column = divmod(int(shifted(0, alone, "n", 1.0).argmax()), 41)
    assert 9 <= math.hypot(row - 20, column - 20) <= 21, "half as far: a whole side is out from the middle, either way"


def test_boxes_by_hand():
    """An L becomes its rectangle, two regions two boxes; values below one half of the largest are no region."""
    saliency = torch.zeros(8, 10)
    saliency[1:5, 1], saliency[4, 1:4] = 0.8, 0.5
    saliency[6, 9], saliency[0, 6:9] = 0.4, 0.39
    expected = torch.zeros(8, 10)
    expected[1:5, 1:4] = 1
    expected[6, 9] = 1
    assert torch.equal(boxes(0, saliency, "a"), expected)
    corners = torch.zeros(8, 10)
    corners.fill_diagonal_(1)
    assert torch.equal(boxes(0, corners, "a")[:, :8], torch.ones(8, 8)), "pixels that touch at a corner are one region"
    around = torch.zeros(8, 8)
    around.fill_diagonal_(1)
    assert torch.equal(boxes(0, around, "a"), around), "a box around everything says nothing: the map stays"


@given(arrays.arrays(bool, st.tuples(st.integers(2, 9), st.integers(2, 9))))
@settings(max_examples=100, deadline=None)
def test_boxes_have_the_extents_of_the_regions(mask):
    """Regions grown pixel by pixel; the first and last row and column of each."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    expected = np.zeros(mask.shape, dtype=np.float32)
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            row, column = edge.pop()
            region.add((row, column))
            near = {(row + i, column + j) for i, j in itertools.product((-1, 0, 1), repeat=2)} & left
            left -= near
            edge += near
        rows, columns = zip(*region, strict=True)
        expected[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1] = 1
    own = mask.astype(np.float32)
    got = boxes(0, torch.from_numpy(own), "a").numpy()
    np.testing.assert_array_equal(got, own if expected.min() == 1 else expected)
