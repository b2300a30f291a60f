"""The pixels of a stroke: exact, and fast however many points it has.

The parts of a scribble of 100,000 points over the whole image cross a hundred million rows in all, and nearly all of
the pixels there are covered by earlier parts already. For such strokes, only those pieces are drawn that may cover a
pixel which is not covered yet. This does not change a single pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from salign.maps.scan import MANY, Window, count, rows_of

_SLACK = 1e-6
"""If the end of a run of pixels is nearer to a pixel's centre than this number times the largest coordinate, exact
products decide whether the pixel is covered."""
_BLOCK = 16
"""How many rows of a part are checked together for pixels that are not covered yet."""
_STRIDES = (4096, 512, 64, 8, 1)
"""The rounds in which the parts of a long stroke are drawn: every 4096th part, then every 512th and so on. Most pixels
are then covered before most of the parts are checked."""


def inside_stroke(points: np.ndarray, radii: np.ndarray, window: Window) -> np.ndarray:
    """Return which pixels of a window a stroke covers, as `(rows, columns)` bool.

    Each part between two points is convex and therefore covers one run of pixels in a row. The runs of all parts are
    summed up.

    Args:
        points: `(n, 2)` points x, y.
        radii: `(n,)` radii.
        window: the part of the image that is drawn.
    """
    top, left, bottom, right = window
    # 1. A part reaches from one disc to the next. Its first row is that of the higher disc, its last row that of the
    # lower one.
    parts = _parts(np.column_stack([points, radii]))
    low, high = parts[:, [1, 4]] - parts[:, [2, 5]], parts[:, [1, 4]] + parts[:, [2, 5]]
    first, last = np.ceil(low.min(1) - 0.5).clip(min=top), np.floor(high.max(1) - 0.5).clip(max=bottom - 1)
    slack = _SLACK * max(1.0, float(np.abs(parts).max()))
    visible = first <= last
    parts, first, last = parts[visible], first[visible], last[visible]
    # 2. `changes` gets +1 where a run of pixels begins and -1 after its end, so its running sum along a row is the
    # number of parts that cover a pixel. If there are few rows in all, all parts are drawn in this way at once.
    changes = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
    if (last - first + 1).sum() <= MANY:
        _add_runs(changes, parts, first, last, slack, window)
        return np.add.accumulate(changes, axis=1, out=changes)[:, :-1] > 0
    # 3. If there are many rows, a coarse sample of the parts is drawn first, then finer ones. Before each round, a
    # summed table of the open (not yet covered) pixels is made, so that a block of rows of a part can be skipped if all
    # the pixels it may cover are covered already.
    covered = np.zeros((bottom - top, right - left), dtype=bool)
    for number, stride in enumerate(_STRIDES):
        mine = np.arange(0, len(parts), stride)
        if number:
            mine = mine[mine % _STRIDES[number - 1] != 0]  # the others are drawn already
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
    """Return the summed table `(h + 1, w + 1)` of `(h, w)` values: at each corner the sum of all above and left."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1), dtype=np.int32)
    np.cumsum(values, axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    return sums


def _holds_open(
    parts: np.ndarray, first: np.ndarray, last: np.ndarray, open_: np.ndarray, slack: float, window: Window
) -> np.ndarray:
    """Return which parts may cover an open pixel (one that is not covered yet) in the rows first..last.

    Each part is replaced by a rectangle that holds all it covers in these rows. A pixel of these rows can only be
    covered by a disc whose centre is, upwards or downwards, no further from the rows than its radius. The rectangle
    therefore reaches from the leftmost to the rightmost of the possible centres, and one radius further on both sides.

    Args:
        parts: `(n, 6)` pairs of discs.
        first: `(n,)` first row of the image for each part.
        last: `(n,)` last row of the image for each part, included.
        open_: `_sums` of the open pixels.
        slack: how far the end of a run may be off by rounding.
        window: the part of the image that is drawn.

    Returns:
        `(n,)` bool.
    """
    top, left, _, right = window
    x0, y0, r0, x1, y1, r1 = parts.T
    radius, level = np.maximum(r0, r1), y0 == y1
    # The centre of the disc goes from (x0, y0) at t = 0 to (x1, y1) at t = 1. Only the values of t count at which the
    # centre is no further from the rows than the larger radius. A horizontal part counts from end to end.
    fall = np.where(level, 1, y1 - y0)
    nearest = [(height - y0) / fall for height in (first + 0.5 - radius, last + 0.5 + radius)]  # in units of t
    low = np.where(level, 0, np.minimum(*nearest).clip(0, 1))
    high = np.where(level, 1, np.maximum(*nearest).clip(0, 1))
    centres = x0 + low * (x1 - x0), x0 + high * (x1 - x0)
    # The rectangle reaches one radius to the left and right of these centres. Four corners of the summed table give the
    # number of open pixels in it.
    begin = np.ceil(np.minimum(*centres) - radius - 0.5 - slack).clip(left, right).astype(int) - left
    end = (np.floor(np.maximum(*centres) + radius - 0.5 + slack) + 1).clip(left, right).astype(int) - left
    above, below = first.astype(int) - top, last.astype(int) + 1 - top
    open_pixels = open_[below, end] - open_[above, end] - open_[below, begin] + open_[above, begin]
    return np.asarray((open_pixels > 0) & (begin < end))


def _add_runs(
    changes: np.ndarray, parts: np.ndarray, first: np.ndarray, last: np.ndarray, slack: float, window: Window
) -> None:
    """Add the runs that parts cover in the rows first..last to `changes`: 1 where a run begins, -1 after its end."""
    top, left, bottom, right = window
    tangents = _tangents(parts)
    for index, row in rows_of(first, last, top, bottom):
        part, y = parts[index].T, row + 0.5
        # 1. Find in floating point where each row enters and leaves the part, and the first and last pixel in between.
        start, stop = _run(part, tangents[index].T, y)
        start, unsure_start = _column(np.ceil, start, slack, left - 1, right + 1)
        stop, unsure_stop = _column(np.floor, stop, slack, left - 2, right)
        # 2. An end that is too near to a pixel's centre for floating point is decided by exact products: if the pixel
        # at the end is not covered, the end moves inwards by one; if the next pixel outwards is covered, too, it moves
        # outwards by one.
        for ends, unsure, inwards in ((start, unsure_start, 1), (stop, unsure_stop, -1)):
            if len(unsure):
                doubtful, column, height = part[:, unsure], ends[unsure], y[unsure]
                inside = _covered(doubtful, column, height), _covered(doubtful, column - inwards, height)
                ends[unsure] += inwards * (~inside[0]).astype(float) - inwards * inside[1].astype(float)
        # 3. Count the part of each run that is inside the window.
        start, stop = start.clip(min=left), stop.clip(max=right - 1)
        hit = start <= stop
        count(changes, row[hit] - top, start[hit] - left, 1)
        count(changes, row[hit] - top, stop[hit] + 1 - left, -1)


def _parts(discs: np.ndarray) -> np.ndarray:
    """Return the pairs of neighbouring discs, `(n, 3)` to `(n - 1, 6)`; a single disc is paired with itself.

    The discs of a pair are sorted, so that a stroke that is drawn backwards is rounded in the same way.
    """
    first, second = (discs[:-1], discs[1:]) if len(discs) > 1 else (discs, discs)
    # Two discs are ordered by the first of x, y and radius in which they differ.
    decides = np.argmax(first != second, axis=1)[:, None]
    backwards = np.take_along_axis(first, decides, 1) > np.take_along_axis(second, decides, 1)
    return np.where(backwards, np.hstack([second, first]), np.hstack([first, second]))


def _column(
    rounded: Callable[[np.ndarray], np.ndarray], x: np.ndarray, slack: float, least: float, most: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first or last column whose centre is at or beyond x, and the positions that rounding may have decided.

    Args:
        rounded: `np.ceil` for the first column right of x, `np.floor` for the last column left of it.
        x: `(n,)` ends of runs.
        slack: ends nearer than this to a pixel's centre are reported as uncertain.
        least: columns are clipped to this one from below.
        most: columns are clipped to this one from above.
    """
    away = x - 0.5
    unsure = np.flatnonzero(~(np.abs(away - np.rint(away)) > slack))  # written so that NaN and infinity are unsure, too
    return rounded(away).clip(least, most), unsure


def _tangents(parts: np.ndarray) -> np.ndarray:
    """Return the ends of both tangents of pairs of discs, `(n, 6)` to `(n, 8)`.

    The discs are x, y and radius. The result is NaN where one disc contains the other.
    """
    x0, y0, r0, x1, y1, r1 = parts.T
    # A tangent touches both discs at the ends of radii that have the same direction, the tangent's normal. The normal's
    # component along the line of centres is `lean` = (r0 - r1) / length. Its component across that line is the positive
    # root sqrt(1 - lean^2) for one tangent and the negative root for the other.
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
    """Return where the line at height y enters and leaves a part, i.e. two discs and the area between them.

    Where the line does not meet the part, the result is (inf, -inf).
    """
    x0, y0, r0, x1, y1, r1 = part
    start, stop = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    # The row meets a disc in a chord of half length sqrt(r^2 - h^2).
    for x, height, radius in ((x0, y - y0, r0), (x1, y - y1, r1)):
        half = np.sqrt(np.where(np.abs(height) <= radius, radius**2 - height**2, np.nan))
        start, stop = np.fmin(start, x - half), np.fmax(stop, x + half)
    # The row meets a tangent if y lies between the heights of its two ends. Horizontal tangents add nothing to the
    # chords.
    for xa, ya, xb, yb in (tangents[:4], tangents[4:]):
        meets = (np.minimum(ya, yb) <= y) & (y <= np.maximum(ya, yb)) & (ya != yb)
        x = xa + (y - ya) * (xb - xa) / np.where(meets, yb - ya, np.nan)
        start, stop = np.fmin(start, x), np.fmax(stop, x)
    return start, stop


def _covered(part: np.ndarray, column: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return whether the centre of a column lies in a disc that goes linearly from a part's first disc to its second.

    The condition `|p - c(t)|^2 <= r(t)^2` is quadratic in t. It holds for some t between the ends if it holds at an
    end, or if its discriminant is not negative and its vertex lies between the ends.
    """
    # |p - c(t)|^2 - r(t)^2 = rest - 2 half t + square t^2, whose least value is at t = half / square.
    x0, y0, r0, x1, y1, r1 = part
    x, run, fall, growth = column + 0.5, x1 - x0, y1 - y0, r1 - r0
    square = run**2 + fall**2 - growth**2
    half = (x - x0) * run + (y - y0) * fall + r0 * growth
    rest = (x - x0) ** 2 + (y - y0) ** 2 - r0**2
    between = (half > 0) & (half < square) & (rest * square <= half**2)
    close = np.abs(rest * square - half**2) <= 1e-12 * half**2  # too close for floats: decided by fractions
    for k in np.flatnonzero(close & (half > 0) & (half < square)):
        between[k] = _between(*(Fraction(float(values[k])) for values in (x, y, *part)))
    return between | (rest <= 0) | ((x - x1) ** 2 + (y - y1) ** 2 <= r1**2)


def _between(x: Fraction, y: Fraction, *part: Fraction) -> bool:
    """Return whether `rest * square <= half**2` in `_covered`, computed exactly."""
    x0, y0, r0, x1, y1, r1 = part
    run, fall, growth = x1 - x0, y1 - y0, r1 - r0
    half = (x - x0) * run + (y - y0) * fall + r0 * growth
    rest = (x - x0) ** 2 + (y - y0) ** 2 - r0**2
    return rest * (run**2 + fall**2 - growth**2) <= half**2
