"""Rows and columns of a window of an image, a bounded number at a time: what drawing polygons and strokes shares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Window = tuple[int, int, int, int]
"""Rows and columns of the image: top, left, bottom, right (the last two are not included)."""

AT_ONCE = 1 << 16
"""Ends of rows that are worked on together: bounds the memory of a shape with many points."""
MANY = 1 << 20
"""A shape that crosses more rows than this is drawn in the way for many points."""


def rows_of(first: np.ndarray, last: np.ndarray, top: int, bottom: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (index, row) for the rows first..last of each index inside of top..bottom - 1, some at a time."""
    # Think of one long list: all rows of index 0, then all rows of index 1, and so on. `before[i]` is where index i
    # begins.
    first, last = first.clip(min=top).astype(int), last.clip(max=bottom - 1).astype(int)
    counts = (last - first + 1).clip(min=0)
    before = np.concatenate([[0], np.cumsum(counts)])
    for start in range(0, int(before[-1]), AT_ONCE):
        # A piece of that list begins within one index, `low`, and ends before another, `high`; `own` is how many of its
        # rows belong to each index between them.
        stop = min(start + AT_ONCE, int(before[-1]))
        low, high = np.searchsorted(before, start, side="right") - 1, np.searchsorted(before, stop, side="left")
        own = np.minimum(before[low + 1 : high + 1], stop) - np.maximum(before[low:high], start)
        index = np.repeat(np.arange(low, high), own)
        yield index, first[index] + np.arange(start, stop) - before[index]


def count(counts: np.ndarray, row: np.ndarray, column: np.ndarray, step: int) -> None:
    """Add `step` at each (row, column); on a flat array this is several times faster."""
    np.add.at(counts.reshape(-1), row * counts.shape[1] + column.astype(int), counts.dtype.type(step))
