"""Helpers that drawing polygons and drawing strokes share: the rows of many pieces, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Window = tuple[int, int, int, int]
"""A part of the image as rows and columns: top, left, bottom, right (bottom and right are not included)."""

AT_ONCE = 1 << 16
"""Most pairs (index, row) that are computed together, which bounds the memory for a shape with many points."""
MANY = 1 << 20
"""A shape whose pieces cross more rows than this in all is drawn by the method for shapes with many points."""


def rows_of(first: np.ndarray, last: np.ndarray, top: int, bottom: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs (index, row) for the rows first..last of each index, at most `AT_ONCE` pairs at a time.

    Args:
        first: `(n,)` first row of each index.
        last: `(n,)` last row of each index, included.
        top: rows above it are left out.
        bottom: this row and those below it are left out.

    Yields:
        Two equally long arrays: indices, and a row for each of them.
    """
    # Think of one long list: all rows of index 0, then all rows of index 1, and so on. Index i begins at `before[i]`.
    first, last = first.clip(min=top).astype(int), last.clip(max=bottom - 1).astype(int)
    counts = (last - first + 1).clip(min=0)
    before = np.concatenate([[0], np.cumsum(counts)])
    for start in range(0, int(before[-1]), AT_ONCE):
        # A piece of that list begins within index `low` and ends before index `high` begins. `own` holds how many of
        # the piece's rows belong to each index from `low` to `high - 1`.
        stop = min(start + AT_ONCE, int(before[-1]))
        low, high = np.searchsorted(before, start, side="right") - 1, np.searchsorted(before, stop, side="left")
        own = np.minimum(before[low + 1 : high + 1], stop) - np.maximum(before[low:high], start)
        index = np.repeat(np.arange(low, high), own)
        yield index, first[index] + np.arange(start, stop) - before[index]


def count(counts: np.ndarray, row: np.ndarray, column: np.ndarray, step: int) -> None:
    """Add `step` to `counts` at each (row, column); `np.add.at` is several times faster on a flat array."""
    np.add.at(counts.reshape(-1), row * counts.shape[1] + column.astype(int), counts.dtype.type(step))
