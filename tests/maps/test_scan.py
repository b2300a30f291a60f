"""Rows of many shapes, a bounded number at a time: the same pairs as loops give."""

from __future__ import annotations

import numpy as np
import pytest

from salign.maps import scan


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
def test_pairs_are_those_of_loops_however_few_come_at_once(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows above and below the window are left out; an index may have none."""
    monkeypatch.setattr(scan, "AT_ONCE", at_once)
    first, last = np.array([3, -5, 8, 2, 6, 20]), np.array([5, 1, 7, 40, 6, 30])
    pairs: list[tuple[int, int]] = []
    for index, row in scan.rows_of(first, last, 0, 10):
        assert len(index) <= at_once
        pairs += zip(index.tolist(), row.tolist(), strict=True)
    assert pairs == [(i, r) for i in range(6) for r in range(max(first[i], 0), min(last[i], 9) + 1)]


def test_a_cell_that_comes_twice_counts_twice() -> None:
    counts = np.zeros((3, 4), dtype=np.int32)
    scan.count(counts, np.array([1, 1, 2]), np.array([2.0, 2.0, 3.0]), -1)
    assert counts.tolist() == [[0, 0, 0, 0], [0, 0, -2, 0], [0, 0, 0, -1]]
