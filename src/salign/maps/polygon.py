"""The pixels of a polygon by the even-odd rule: exact, and fast even if its outline goes to and fro very often.

The edges of a scribble of 100,000 points over the whole image cross a hundred million rows in all. For such polygons,
steep edges are followed along their columns instead of their rows, which does not change a single pixel.
"""

from __future__ import annotations

import numpy as np

from salign.maps.scan import MANY, Window, count, rows_of


def inside_polygon(points: np.ndarray, window: Window) -> np.ndarray:
    """Return which pixels of a window lie inside a polygon, as `(rows, columns)` bool.

    By the even-odd rule, a pixel is inside if an odd number of edges cross the centre line of its row at its centre or
    left of it.

    Args:
        points: `(n, 2)` corners x, y.
        window: the part of the image that is drawn.
    """
    top, left, bottom, right = window
    # 1. Every edge is turned so that its upper end comes first. An edge that two polygons share is then rounded in the
    # same way in both.
    ends = np.roll(points, -1, axis=0)
    falls = (points[:, 1] <= ends[:, 1])[:, None]
    edges = np.hstack([np.where(falls, points, ends), np.where(falls, ends, points)])  # upper end first
    # 2. An edge counts in the rows whose centre line it crosses. Its upper end belongs to it and its lower end does
    # not, so that a vertex between two edges counts once. A horizontal edge counts in no row.
    first, last = np.ceil(edges[:, 1] - 0.5), np.ceil(edges[:, 3] - 0.5) - 1  # rows with upper y <= centre < lower y
    first, last = first.clip(min=top), last.clip(max=bottom - 1)
    visible = first <= last
    edges, first, last = edges[visible], first[visible], last[visible]
    # 3. If the edges cross very many rows, as in a scribble, the steep edges are followed along their columns, which
    # are fewer.
    inside = np.zeros((bottom - top, right - left), dtype=bool)
    if (last - first + 1).sum() > MANY:
        steep = np.abs(edges[:, 2] - edges[:, 0]) < edges[:, 3] - edges[:, 1]
        inside = _crossed_by_steep(edges[steep], first[steep], last[steep], window)
        edges, first, last = edges[~steep], first[~steep], last[~steep]
    # 4. Each of the other edges adds 1, in every row that it crosses, at the first pixel right of the crossing. The
    # running sum along a row is then the number of edges crossed so far, and a pixel is inside where that is odd.
    crossings = np.zeros(inside.shape, dtype=np.uint8)
    for index, row in rows_of(first, last, top, bottom):
        column = _crossed(edges[index], row, left, right)
        hit = column < right
        count(crossings, row[hit] - top, column[hit] - left, 1)
    np.add.accumulate(crossings, axis=1, dtype=np.uint8, out=crossings)  # wrapping at 256 keeps it odd or even
    return inside ^ (crossings & 1).astype(bool)


def _crossed(edges: np.ndarray, row: np.ndarray, left: int, right: int) -> np.ndarray:
    """Return the first column of left..right whose centre is at or right of the point where an edge crosses a row."""
    x0, y0, x1, y1 = edges.T
    depth, run, fall = row + 0.5 - y0, x1 - x0, y1 - y0
    # The division may round to the wrong side of a pixel's centre. Products of differences are exact for coordinates of
    # few digits, so they check the estimated column and move it by one where it was wrong.
    column = np.ceil(x0 + depth * run / fall - 0.5).clip(left - 1, right + 1)
    column += np.where(_reached(column, x0, depth, run, fall), 0, 1)
    column -= np.where(_reached(column - 1, x0, depth, run, fall), 1, 0)
    return column.clip(left, right)


def _crossed_by_steep(edges: np.ndarray, first: np.ndarray, last: np.ndarray, window: Window) -> np.ndarray:
    """Return whether an odd number of steep edges cross the row of a pixel at its centre or left of it.

    The pixels to the right of an edge form a run of rows in each column. In the columns that the edge crosses, the run
    begins or ends at the edge, at a row that is computed for each column. In all columns further right, the run goes
    from the edge's first row to its last row, which two entries in `corners` express for all these columns at once.
    This takes one step per column instead of one per row, and a steep edge crosses fewer columns than rows.
    """
    top, left, bottom, right = window
    shape = (bottom - top + 1, right - left + 1)
    corners, changes = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
    # 1. In the columns right of both ends of an edge, every row from its first to its last lies to the right of it.
    begins, ends = _crossed(edges, first, left, right), _crossed(edges, last, left, right)
    count(corners, (first - top).astype(int), begins - left, 1)  # pixels right of and below here are right of the edge
    count(corners, (last + 1 - top).astype(int), ends - left, 1)  # and those below its last row are not
    # 2. In each column between the two ends, the run begins or ends at a row that is estimated by a division and
    # checked by products, as in `_crossed`.
    for index, column in rows_of(np.minimum(begins, ends), np.maximum(begins, ends) - 1, left, right):
        x0, y0, x1, y1 = edges[index].T
        run, fall, across = x1 - x0, y1 - y0, column + 0.5 - x0
        row = np.ceil(y0 + across * fall / run - 0.5).clip(top - 1, bottom + 1)
        row += np.where(_reached(column, x0, row + 0.5 - y0, run, fall) == (run < 0), 0, 1)
        row -= np.where(_reached(column, x0, row - 0.5 - y0, run, fall) == (run < 0), 1, 0)
        count(changes, row.clip(top, bottom).astype(int) - top, column - left, 1)
    # 3. Corners count for all columns to their right, so they are summed along the rows first. Then corners and changes
    # are summed down the columns: an odd sum means that an odd number of edges lies to the left of the pixel.
    np.add.accumulate(corners, axis=1, dtype=np.uint8, out=corners)
    corners += changes
    np.add.accumulate(corners, axis=0, dtype=np.uint8, out=corners)  # corners and changes
    return (corners[:-1, :-1] & 1).astype(bool)


def _reached(column: np.ndarray, x0: np.ndarray, depth: np.ndarray, run: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Return whether the centre of a column is at or right of the point where the edge crosses the row."""
    return (column + 0.5 - x0) * fall >= depth * run
