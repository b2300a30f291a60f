from __future__ import annotations

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from salign.errors import SalignError
from salign.evaluate.agreement import marked
from salign.maps.granularity import GRAINS, coarsen

masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def reached(start, allowed, corners):
    """Pixels that can be reached from the start ones through allowed ones, step by step."""
    found, queue = set(), deque(start)
    while queue:
        row, column = queue.popleft()
        inside = 0 <= row < allowed.shape[0] and 0 <= column < allowed.shape[1]
        if (row, column) in found or not inside or not allowed[row, column]:
            continue
        found.add((row, column))
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                if corners or abs(down) + abs(right) == 1:
                    queue.append((row + down, column + right))
    return found


def border(shape):
    return [(r, c) for r, c in np.ndindex(shape) if r in (0, shape[0] - 1) or c in (0, shape[1] - 1)]


def box(pixels, shape):
    filled = np.zeros(shape, dtype=bool)
    if pixels:
        rows, columns = zip(*pixels, strict=True)
        filled[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1] = True
    return filled


def reference(mask, grain, together=False):
    if grain == "features":
        return mask
    if grain == "area":
        outside = reached(border(mask.shape), ~mask, corners=False)
        return np.array([[(r, c) not in outside for c in range(mask.shape[1])] for r in range(mask.shape[0])])
    left = {(int(r), int(c)) for r, c in np.argwhere(mask)}
    if together:
        return box(left, mask.shape)
    filled = np.zeros_like(mask)
    while left:
        region = reached([next(iter(left))], mask, corners=True)
        filled |= box(region, mask.shape)
        left -= region
    return filled


@pytest.mark.parametrize(("grain", "together"), [*((grain, False) for grain in GRAINS), ("boundary", True)])
@given(masks)
@settings(max_examples=60, deadline=None)
def test_each_grain_is_as_step_by_step(grain, together, mask):
    found = coarsen(torch.from_numpy(mask).float(), grain, together=together)
    np.testing.assert_array_equal(found.numpy(), reference(mask, grain, together).astype(np.float32))


@given(masks)
@settings(max_examples=60, deadline=None)
def test_coarser_holds_finer(mask):
    maps = torch.from_numpy(mask).float()
    one = coarsen(maps, "boundary", together=True)
    each, filled, painted = (coarsen(maps, grain) for grain in ("boundary", "area", "features"))
    assert (painted <= filled).all()
    assert (filled <= each).all()
    assert (each <= one).all()
    torch.testing.assert_close(coarsen(filled, "area"), filled)
    torch.testing.assert_close(coarsen(one, "boundary"), one)


def test_a_soft_map_is_marked_from_half_of_its_maximum_on():
    maps = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)) ** 4
    maps[1] *= 0.3
    maps[2] = 0
    torch.testing.assert_close(coarsen(maps, "area"), coarsen(marked(maps).float(), "area"))
    torch.testing.assert_close(coarsen(maps, "boundary"), coarsen(marked(maps).float(), "boundary"))
    assert coarsen(maps, "features") is maps
    assert not coarsen(maps, "boundary")[2].any()


def test_a_drawn_ring_is_filled():
    grid = torch.arange(40) - 20.0
    away = (grid.square()[:, None] + grid.square()).sqrt()
    ring = ((away > 10) & (away < 12)).float()
    torch.testing.assert_close(coarsen(ring, "area"), (away < 12).float())


@pytest.mark.parametrize(
    ("maps", "grain", "complaint"),
    [
        (torch.zeros(3, 3), "boundry", "boundary, area or features, got 'boundry'; did you mean 'boundary'"),
        (torch.zeros(3), "area", "maps: expected"),
        (torch.zeros(3, 3, dtype=torch.bool), "area", "maps: expected"),
        (torch.full((3, 3), -1.0), "features", "0 or more, got -1"),
        (torch.full((3, 3), torch.nan), "area", "got NaN"),
    ],
)
def test_mistakes_are_explained(maps, grain, complaint):
    with pytest.raises(SalignError, match=complaint):
        coarsen(maps, grain)
