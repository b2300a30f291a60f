"""The pixels of a stroke: exact, and in little time however many points it has.

A scribble of 100,000 points over the whole image crosses a hundred million rows, nearly all of them where it has been
before. So, where there are many, only those pieces are drawn that may hold a pixel which is not covered yet; that
leaves every pixel as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from salign.maps.scan import MANY, Window, count, rows_of

_SLACK = 1e-6
"""Times the largest coordinate: an end of a row this near to a pixel's centre is decided by exact products."""
_BLOCK = 16
"""Rows of a part that are looked at together to see whether they are covered already."""
_STRIDES = (4096, 512, 64, 8, 1)
"""Each so many-th part is drawn first: so most is covered when the rest is looked at."""


def inside_stroke(points: np.ndarray, radii: np.ndarray, window: Window) -> np.ndarray:
    """Each part between two points covers one run of pixels in a row, as it is convex; the runs are counted up."""
    top, left, bottom, right = window
    # 1. A part reaches from one disc to the next. Its first and last row are those of the higher and the lower disc.
    parts = _parts(np.column_stack([points, radii]))
    low, high = parts[:, [1, 4]] - parts[:, [2, 5]], parts[:, [1, 4]] + parts[:, [2, 5]]
    first, last = np.ceil(low.min(1) - 0.5).clip(min=top), np.floor(high.max(1) - 0.5).clip(max=bottom - 1)
    slack = _SLACK * max(1.0, float(np.abs(parts).max()))
    visible = first <= last
    parts, first, last = parts[visible], first[visible], last[visible]
    # 2. `changes` gets +1 where a run of pixels begins and -1 after its end: its running sum along a row is the number
    # of parts that cover a pixel. With few rows in all, every part is drawn so, and that is the result.
    changes = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
    if (last - first + 1).sum() <= MANY:
        _add_runs(changes, parts, first, last, slack, window)
        return np.add.accumulate(changes, axis=1, out=changes)[:, :-1] > 0
    # 3. With many rows, a coarse sample of the parts is drawn first, then finer ones. Before each round the pixels that
    # are still open are summed up, so that a block of rows of a part can be skipped if all it may cover is covered.
    covered = np.zeros((bottom - top, right - left), dtype=bool)
    for number, stride in enumerate(_STRIDES):
        mine = np.arange(0, len(parts), stride)
        if number:
            mine = mine[mine % _STRIDES[number - 1] != 0]  # the others were drawn before
        open_ = _sums(~covered)
        blocks = np.floor((last[mine] - first[mine]) / _BLOCK)
        for index, block in rows_of(np.zeros(len(mine)), blocks, 0, bottom):
            candidates = mine[index]
            start = first[candidates] + block * _BLOCK
            stop = np.minimum(start + _BLOCK - 1, last[candidates])
            left_over = _holds_open(parts[candidates], start, stop, open_, slack, window)
            _add_runs(changes, parts[candidates[left_over]], start[left_over], stop[left_over], slack, window)
        np.greater(np.add.accumulate(changes, axis=1)[:, :-1], 0, out=covered)
    return covered


def _sums(values: np.ndarray) -> np.ndarray:
    """`(h + 1, w + 1)` sums of what is above and left of each corner of `(h, w)` values."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1), dtype=np.int32)
    np.cumsum(values, axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    return sums


def _holds_open(
    parts: np.ndarray, first: np.ndarray, last: np.ndarray, open_: np.ndarray, slack: float, window: Window
) -> np.ndarray:
    """Where a rectangle that surely holds what a part covers in the rows first..last has a pixel that is not covered.

    What covers a pixel in these rows is a disc whose centre is, upwards and downwards, no further from them than its
    radius: so the rectangle reaches from the leftmost to the rightmost of such centres, and a radius further.

    Args:
        parts: `(n, 6)` pairs of discs.
        first: `(n,)` rows of the image.
        last: `(n,)` rows of the image.
        open_: `_sums` of the pixels that are not covered.
        slack: by how much an end may be rounded.
        window: the part of the image that is drawn.
    """
    top, left, _, right = window
    x0, y0, r0, x1, y1, r1 = parts.T
    radius, level = np.maximum(r0, r1), y0 == y1
    # The centre of the disc goes from (x0, y0) at t = 0 to (x1, y1) at t = 1. Only those t count at which the centre is
    # no further from the rows than the larger radius; a level part counts from end to end.
    fall = np.where(level, 1, y1 - y0)
    nearest = [(height - y0) / fall for height in (first + 0.5 - radius, last + 0.5 + radius)]  # 0 at x0, 1 at x1
    low = np.where(level, 0, np.minimum(*nearest).clip(0, 1))
    high = np.where(level, 1, np.maximum(*nearest).clip(0, 1))
    centres = x0 + low * (x1 - x0), x0 + high * (x1 - x0)
    # The rectangle reaches a radius to the left and right of these centres. Four corners of the summed table give the
    # number of open pixels in it.
    begin = np.ceil(np.minimum(*centres) - radius - 0.5 - slack).clip(left, right).astype(int) - left
    end = (np.floor(np.maximum(*centres) + radius - 0.5 + slack) + 1).clip(left, right).astype(int) - left
    above, below = first.astype(int) - top, last.astype(int) + 1 - top
    open_pixels = open_[below, end] - open_[above, end] - open_[below, begin] + open_[above, begin]
    return np.asarray((open_pixels > 0) & (begin < end))


def _add_runs(
    changes: np.ndarray, parts: np.ndarray, first: np.ndarray, last: np.ndarray, slack: float, window: Window
) -> None:
    """Count up the runs of pixels that parts cover in the rows first..last: 1 where a run begins, -1 after its end."""
    top, left, bottom, right = window
    tangents = _tangents(parts)
    for index, row in rows_of(first, last, top, bottom):
        part, y = parts[index].T, row + 0.5
        # 1. Where each row enters and leaves the part, in floating point, and the first and last pixel between.
        start, stop = _run(part, tangents[index].T, y)
        start, unsure_start = _column(np.ceil, start, slack, left - 1, right + 1)
        stop, unsure_stop = _column(np.floor, stop, slack, left - 2, right)
        # 2. Ends too near to a pixel's centre for floating point are decided by exact products: the pixel at the end
        # must be covered, else the end moves inwards; if the next pixel outwards is covered, too, it moves outwards.
        for ends, unsure, inwards in ((start, unsure_start, 1), (stop, unsure_stop, -1)):
            if len(unsure):
                doubtful, column, height = part[:, unsure], ends[unsure], y[unsure]
                inside = _covered(doubtful, column, height), _covered(doubtful, column - inwards, height)
                ends[unsure] += inwards * (~inside[0]).astype(float) - inwards * inside[1].astype(float)
        # 3. What remains inside of the window is counted.
        start, stop = start.clip(min=left), stop.clip(max=right - 1)
        hit = start <= stop
        count(changes, row[hit] - top, start[hit] - left, 1)
        count(changes, row[hit] - top, stop[hit] + 1 - left, -1)


def _parts(discs: np.ndarray) -> np.ndarray:
    """`(n, 3)` discs -> `(m, 6)` neighbours, the smaller first: a stroke drawn backwards is rounded alike."""
    first, second = (discs[:-1], discs[1:]) if len(discs) > 1 else (discs, discs)
    # Two discs are ordered by the first of x, y and radius in which they differ.
    decides = np.argmax(first != second, axis=1)[:, None]
    backwards = np.take_along_axis(first, decides, 1) > np.take_along_axis(second, decides, 1)
    return np.where(backwards, np.hstack([second, first]), np.hstack([first, second]))


def _column(
    rounded: Callable[[np.ndarray], np.ndarray], x: np.ndarray, slack: float, least: float, most: float
) -> tuple[np.ndarray, np.ndarray]:
    """The first or last column whose centre is beyond x, and the positions where rounding may have decided that."""
    away = x - 0.5
    unsure = np.flatnonzero(~(np.abs(away - np.rint(away)) > slack))  # NaN and infinity, too
    return rounded(away).clip(least, most), unsure


def _tangents(parts: np.ndarray) -> np.ndarray:
    """`(n, 6)` pairs of discs x, y, radius -> `(n, 8)` ends of both tangents; NaN where one disc holds the other."""
    x0, y0, r0, x1, y1, r1 = parts.T
    # A tangent touches both discs where their radii have the same direction, the normal. Along the line of centres the
    # normal leans by (r0 - r1) / length; across it, one tangent has the positive and the other the negative root.
    length = np.hypot(x1 - x0, y1 - y0)
    apart = length > np.abs(r1 - r0)
    length = np.where(apart, length, np.nan)
    along_x, along_y, lean = (x1 - x0) / length, (y1 - y0) / length, (r0 - r1) / length
    across = np.sqrt(1 - lean**2)
    ends = []
    for side in (across, -across):
        normal_x, normal_y = lean * along_x - side * along_y, lean * along_y + side * along_x
        ends += [x0 + r0 * normal_x, y0 + r0 * normal_y, x1 + r1 * normal_x, y1 + r1 * normal_y]
    return np.column_stack(ends)


def _run(part: np.ndarray, tangents: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a line at height y enters and leaves two discs and what is between them; NaN where it does not."""
    x0, y0, r0, x1, y1, r1 = part
    start, stop = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    # The row meets a disc in a chord of half length sqrt(r^2 - h^2).
    for x, height, radius in ((x0, y - y0, r0), (x1, y - y1, r1)):
        half = np.sqrt(np.where(np.abs(height) <= radius, radius**2 - height**2, np.nan))
        start, stop = np.fmin(start, x - half), np.fmax(stop, x + half)
    # The row meets a tangent where that is between its two ends; level tangents add nothing beyond the chords.
    for xa, ya, xb, yb in (tangents[:4], tangents[4:]):
        meets = (np.minimum(ya, yb) <= y) & (y <= np.maximum(ya, yb)) & (ya != yb)
        x = xa + (y - ya) * (xb - xa) / np.where(meets, yb - ya, np.nan)
        start, stop = np.fmin(start, x), np.fmax(stop, x)
    return start, stop


def _covered(part: np.ndarray, column: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether the centre of a column lies in a disc whose centre and radius go linearly from one to the other.

    The discriminant of `|p - c(t)|^2 <= r(t)^2` in t, which is quadratic; its vertex must lie between the ends.
    """
    # |p - c(t)|^2 - r(t)^2 = rest - 2 half t + square t^2, whose least value is at t = half / square.
    x0, y0, r0, x1, y1, r1 = part
    x, run, fall, growth = column + 0.5, x1 - x0, y1 - y0, r1 - r0
    square = run**2 + fall**2 - growth**2
    half = (x - x0) * run + (y - y0) * fall + r0 * growth
    rest = (x - x0) ** 2 + (y - y0) ** 2 - r0**2
    between = (half > 0) & (half < square) & (rest * square <= half**2)
    close = np.abs(rest * square - half**2) <= 1e-12 * half**2  # what floats cannot tell is told by fractions
    for k in np.flatnonzero(close & (half > 0) & (half < square)):
        between[k] = _between(*(Fraction(float(values[k])) for values in (x, y, *part)))
    return between | (rest <= 0) | ((x - x1) ** 2 + (y - y1) ** 2 <= r1**2)


def _between(x: Fraction, y: Fraction, *part: Fraction) -> bool:
    """`rest * square <= half**2` of `_covered`, exactly."""
    x0, y0, r0, x1, y1, r1 = part
    run, fall, growth = x1 - x0, y1 - y0, r1 - r0
    half = (x - x0) * run + (y - y0) * fall + r0 * growth
    rest = (x - x0) ** 2 + (y - y0) ** 2 - r0**2
    return rest * (run**2 + fall**2 - growth**2) <= half**2
