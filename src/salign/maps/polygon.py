"""The pixels of a polygon by the even-odd rule: exact, and in little time however often its outline goes to and fro.

A scribble of 100,000 points over the whole image crosses a hundred million rows. So, where there are many, a steep edge
is followed along its columns instead of its rows; that leaves every pixel as it is.
"""

from __future__ import annotations

import numpy as np

from salign.maps.scan import MANY, Window, count, rows_of


def inside_polygon(points: np.ndarray, window: Window) -> np.ndarray:
    """Even-odd rule: a pixel is inside where an odd number of edges cross its row left of its centre, or at it."""
    top, left, bottom, right = window
    # 1. Every edge runs downwards: its upper end comes first. So an edge that two polygons share is rounded alike in
    # both.
    ends = np.roll(points, -1, axis=0)
    falls = (points[:, 1] <= ends[:, 1])[:, None]
    edges = np.hstack([np.where(falls, points, ends), np.where(falls, ends, points)])  # upper end first
    # 2. An edge counts in the rows whose centre line it crosses. It holds its upper end and not its lower one, so that
    # a vertex between two edges counts once; a level edge counts in no row.
    first, last = np.ceil(edges[:, 1] - 0.5), np.ceil(edges[:, 3] - 0.5) - 1  # rows with upper y <= centre < lower y
    first, last = first.clip(min=top), last.clip(max=bottom - 1)
    visible = first <= last
    edges, first, last = edges[visible], first[visible], last[visible]
    # 3. A scribble crosses very many rows. Its steep edges are then followed along their columns, which are fewer.
    inside = np.zeros((bottom - top, right - left), dtype=bool)
    if (last - first + 1).sum() > MANY:
        steep = np.abs(edges[:, 2] - edges[:, 0]) < edges[:, 3] - edges[:, 1]
        inside = _crossed_by_steep(edges[steep], first[steep], last[steep], window)
        edges, first, last = edges[~steep], first[~steep], last[~steep]
    # 4. The other edges: each adds 1 at the first pixel right of its crossing, in every row. The running sum along a
    # row is then the number of edges crossed so far, and a pixel is inside where that is odd.
    crossings = np.zeros(inside.shape, dtype=np.uint8)
    for index, row in rows_of(first, last, top, bottom):
        column = _crossed(edges[index], row, left, right)
        hit = column < right
        count(crossings, row[hit] - top, column[hit] - left, 1)
    np.add.accumulate(crossings, axis=1, dtype=np.uint8, out=crossings)  # 256 divides by 2: may wrap
    return inside ^ (crossings & 1).astype(bool)


def _crossed(edges: np.ndarray, row: np.ndarray, left: int, right: int) -> np.ndarray:
    """The first column, of left..right, whose centre is at or right of where an edge crosses a row."""
    x0, y0, x1, y1 = edges.T
    depth, run, fall = row + 0.5 - y0, x1 - x0, y1 - y0
    # The division may round to the wrong side of a centre. Products of differences are exact for coordinates of few
    # digits, so they check the guess, and move it by one column where it was wrong.
    column = np.ceil(x0 + depth * run / fall - 0.5).clip(left - 1, right + 1)
    column += np.where(_reached(column, x0, depth, run, fall), 0, 1)
    column -= np.where(_reached(column - 1, x0, depth, run, fall), 1, 0)
    return column.clip(left, right)


def _crossed_by_steep(edges: np.ndarray, first: np.ndarray, last: np.ndarray, window: Window) -> np.ndarray:
    """Whether an odd number of edges cross the row of a pixel left of its centre, for edges that go down steeply.

    The pixels to the right of an edge are, column by column, a run of rows. All runs together begin (or end) at the
    edge: in columns between those of its first and its last row at a row of their own, which is looked for; in all
    columns further right at the first and the last row, which the two `corners` say for all of them at once. That is
    one step for a column instead of one for a row, of which a steep edge has more.
    """
    top, left, bottom, right = window
    shape = (bottom - top + 1, right - left + 1)
    corners, changes = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
    # 1. The corners: right of both ends of an edge, every row from its first to its last lies to the right of it.
    begins, ends = _crossed(edges, first, left, right), _crossed(edges, last, left, right)
    count(corners, (first - top).astype(int), begins - left, 1)  # from here on right and down: to the right of it
    count(corners, (last + 1 - top).astype(int), ends - left, 1)  # and from here on not any more
    # 2. The columns between the two ends: the edge enters or leaves each of them at a row that is guessed by division
    # and checked by products, as in `_crossed`.
    for index, column in rows_of(np.minimum(begins, ends), np.maximum(begins, ends) - 1, left, right):
        x0, y0, x1, y1 = edges[index].T
        run, fall, across = x1 - x0, y1 - y0, column + 0.5 - x0
        row = np.ceil(y0 + across * fall / run - 0.5).clip(top - 1, bottom + 1)
        row += np.where(_reached(column, x0, row + 0.5 - y0, run, fall) == (run < 0), 0, 1)
        row -= np.where(_reached(column, x0, row - 0.5 - y0, run, fall) == (run < 0), 1, 0)
        count(changes, row.clip(top, bottom).astype(int) - top, column - left, 1)
    # 3. Corners count for all columns to their right, so they are summed along the rows first. Then both are summed
    # down the columns: an odd sum means that an odd number of edges lies to the left of the pixel.
    np.add.accumulate(corners, axis=1, dtype=np.uint8, out=corners)
    corners += changes
    np.add.accumulate(corners, axis=0, dtype=np.uint8, out=corners)  # down the columns, both
    return (corners[:-1, :-1] & 1).astype(bool)


def _reached(column: np.ndarray, x0: np.ndarray, depth: np.ndarray, run: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Whether the centre of a column is at or right of where the edge crosses the row."""
    return (column + 0.5 - x0) * fall >= depth * run
