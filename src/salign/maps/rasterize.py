"""Shapes -> pixels: a pixel belongs to an area where its centre lies inside.

Where a centre lies on the boundary: a polygon or box holds its left and top edges and not its right and bottom ones, so
that shapes which share an edge share no pixel; a stroke holds all of its boundary. Ends of rows are guessed in floating
point and set right by products of differences, which are exact for coordinates of few digits. Nothing larger than the
part of a shape inside of the image is held, whatever the coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from salign.maps.shapes import FARTHEST, SMALLEST_SPREAD, Box, Fixation, Polygon, Shape, Stroke
from salign.types import SalignError

Window = tuple[int, int, int, int]
"""Rows and columns of the image: top, left, bottom, right (the last two are not included)."""

_AT_ONCE = 1 << 16
"""Ends of rows that are worked on together: bounds the memory of a shape with many points."""
_SLACK = 1e-6
"""Times the largest coordinate: an end of a row this near to a pixel's centre is decided by exact products."""


def rasterize(shapes: Sequence[Shape], size: tuple[int, int]) -> np.ndarray:
    """Paint areas in order, each adding to or (`erase`) taking away from those before.

    Args:
        shapes: polygons, boxes and strokes; what lies outside of the image is clipped.
        size: (H, W) of the image.

    Returns:
        `(H, W)` bool.

    Raises:
        SalignError: the size is not positive, or a shape is a fixation, which has no area.
    """
    canvas = np.zeros(_checked(size), dtype=bool)
    for shape in shapes:
        window = _window(shape, size)
        if window is None:
            continue
        top, left, bottom, right = window
        part = canvas[top:bottom, left:right]
        inside = _inside(shape, window)
        if shape.erase:
            part &= ~inside
        else:
            part |= inside
    return canvas


def covers(shape: Shape, size: tuple[int, int]) -> bool:
    """Whether an area holds the centre of any pixel of an image of a size (H, W); errors as for `rasterize`."""
    window = _window(shape, _checked(size))
    return window is not None and bool(_inside(shape, window).any())


def fixation_map(fixations: Sequence[Fixation], size: tuple[int, int], sigma: float | None = None) -> np.ndarray:
    """Sum of Gaussians at the fixations, the volume of each being its duration, divided by its maximum.

    The Gaussians are evaluated at the pixels' centres and cut off only outside of what was shown at the time, as by the
    authors of REFLACX (Bigolin Lanfredi et al., Scientific Data 9, 2022). Fixations outside of the image do not count.

    Args:
        fixations: positions in pixels of the image, durations in ms.
        size: (H, W) of the image.
        sigma: standard deviation in pixels, > 0, of the fixations that have no `spread` of their own.

    Returns:
        `(H, W)` float32 in [0, 1]; all zeros where no fixation of any duration hits the image.

    Raises:
        SalignError: a shape is no fixation, a fixation has neither spread nor sigma, or size or sigma is not positive.
    """
    height, width = _checked(size)
    if sigma is not None and not SMALLEST_SPREAD <= sigma <= FARTHEST:
        raise SalignError(f"expected sigma > 0 px, got {sigma}")
    rows = [_gaussian(shape, size, sigma) for shape in fixations]
    total = np.zeros((height, width))
    for start in range(0, len(rows), 256):
        x, y, weight, spread_x, spread_y, x0, y0, x1, y1 = np.array(rows[start : start + 256]).T
        across, down = np.arange(width)[:, None] + 0.5, np.arange(height)[:, None] + 0.5
        profile = np.exp(-0.5 * ((across - x) / spread_x) ** 2) * ((x0 <= across) & (across < x1))
        total += (np.exp(-0.5 * ((down - y) / spread_y) ** 2) * ((y0 <= down) & (down < y1)) * weight) @ profile.T
    top = total.max()
    return (total / top if top > 0 else total).astype(np.float32)


def _gaussian(shape: Fixation, size: tuple[int, int], sigma: float | None) -> tuple[float, ...]:
    """Centre, height, spreads and visible part of a fixation's Gaussian."""
    if not isinstance(shape, Fixation):
        raise SalignError(f"expected fixations only, got a {type(shape).__name__.lower()}; use rasterize for areas")
    spread = shape.spread or (sigma, sigma)
    if spread[0] is None or spread[1] is None:
        raise SalignError("expected sigma in px, as there are fixations without a spread of their own")
    inside = 0 <= shape.x < size[1] and 0 <= shape.y < size[0]
    height = shape.duration / (spread[0] * spread[1]) if inside else 0.0
    return (shape.x, shape.y, height, *spread, *(shape.shown or (0, 0, size[1], size[0])))


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    if height < 1 or width < 1:
        raise SalignError(f"expected a size (H, W) of at least 1 x 1, got {height} x {width}")
    return height, width


def _window(shape: Shape, size: tuple[int, int]) -> Window | None:
    """The part of the image that a shape may touch; None where that is nothing."""
    match shape:
        case Box():
            low, high = np.array([shape.x0, shape.y0]), np.array([shape.x1, shape.y1])
        case Polygon():
            points = np.array(shape.points)
            low, high = points.min(0), points.max(0)
        case Stroke():
            points, radii = np.array(shape.points), np.array(shape.radii)[:, None]
            low, high = (points - radii).min(0), (points + radii).max(0)
        case _:
            raise SalignError("a fixation has no area to rasterize; use fixation_map(fixations, size, sigma)")
    left, top = np.clip(np.ceil(low - 0.5) - 1, 0, None).clip(max=size[::-1]).astype(int)
    right, bottom = np.clip(np.floor(high - 0.5) + 2, 0, None).clip(max=size[::-1]).astype(int)
    return (top, left, bottom, right) if top < bottom and left < right else None


def _inside(shape: Shape, window: Window) -> np.ndarray:
    """`(rows, columns)` bool of the window."""
    match shape:
        case Box():
            top, left, bottom, right = window
            x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
            return ((shape.y0 <= y) & (y < shape.y1))[:, None] & ((shape.x0 <= x) & (x < shape.x1))
        case Polygon():
            return _inside_polygon(np.array(shape.points), window)
        case Stroke():
            return _inside_stroke(np.array(shape.points), np.array(shape.radii), window)
        case _:
            raise AssertionError(shape)


def _inside_polygon(points: np.ndarray, window: Window) -> np.ndarray:
    """Even-odd rule: a pixel is inside where an odd number of edges cross its row left of its centre, or at it."""
    top, left, bottom, right = window
    ends = np.roll(points, -1, axis=0)
    falls = (points[:, 1] <= ends[:, 1])[:, None]
    edges = np.hstack([np.where(falls, points, ends), np.where(falls, ends, points)])  # upper end first
    first, last = np.ceil(edges[:, 1] - 0.5), np.ceil(edges[:, 3] - 0.5) - 1  # rows with upper y <= centre < lower y
    crossings = np.zeros((bottom - top, right - left), dtype=np.uint8)
    for index, row in _rows(first, last, top, bottom):
        x0, y0, x1, y1 = edges[index].T
        depth, run, fall = row + 0.5 - y0, x1 - x0, y1 - y0
        column = np.ceil(x0 + depth * run / fall - 0.5).clip(left - 1, right + 1)
        column += np.where(_reached(column, x0, depth, run, fall), 0, 1)
        column -= np.where(_reached(column - 1, x0, depth, run, fall), 1, 0)
        hit = column < right
        _count(crossings, row[hit] - top, column[hit].clip(min=left) - left, 1)
    return (np.add.accumulate(crossings, axis=1, dtype=np.uint8) & 1).astype(bool)  # 256 divides by 2: may wrap


def _reached(column: np.ndarray, x0: np.ndarray, depth: np.ndarray, run: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Whether the centre of a column is at or right of where the edge crosses the row."""
    return (column + 0.5 - x0) * fall >= depth * run


def _inside_stroke(points: np.ndarray, radii: np.ndarray, window: Window) -> np.ndarray:
    """Each part between two points covers one run of pixels in a row, as it is convex; the runs are counted up."""
    top, left, bottom, right = window
    parts = _parts(np.column_stack([points, radii]))
    tangents = _tangents(parts)
    low, high = parts[:, [1, 4]] - parts[:, [2, 5]], parts[:, [1, 4]] + parts[:, [2, 5]]
    first, last = np.ceil(low.min(1) - 0.5), np.floor(high.max(1) - 0.5)
    changes = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
    slack = _SLACK * max(1.0, float(np.abs(parts).max()))
    for number, (index, row) in enumerate(_rows(first, last, top, bottom)):
        part, y = parts[index].T, row + 0.5
        start, stop = _run(part, tangents[index].T, y)
        start, unsure_start = _column(np.ceil, start, slack, left - 1, right + 1)
        stop, unsure_stop = _column(np.floor, stop, slack, left - 2, right)
        for ends, unsure, inwards in ((start, unsure_start, 1), (stop, unsure_stop, -1)):
            if len(unsure):
                some, column, height = part[:, unsure], ends[unsure], y[unsure]
                inside = _covered(some, column, height), _covered(some, column - inwards, height)
                ends[unsure] += inwards * (~inside[0]).astype(float) - inwards * inside[1].astype(float)
        start, stop = start.clip(min=left), stop.clip(max=right - 1)
        hit = start <= stop
        _count(changes, row[hit] - top, start[hit] - left, 1)
        _count(changes, row[hit] - top, stop[hit] + 1 - left, -1)
        if number % 64 == 63 and np.add.accumulate(changes, axis=1)[:, :-1].all():
            break  # nothing is left to cover
    return np.add.accumulate(changes, axis=1, out=changes)[:, :-1] > 0


def _parts(discs: np.ndarray) -> np.ndarray:
    """`(n, 3)` discs -> `(m, 6)` neighbours, the smaller first: a stroke drawn backwards is rounded alike."""
    one, other = (discs[:-1], discs[1:]) if len(discs) > 1 else (discs, discs)
    decides = np.argmax(one != other, axis=1)[:, None]
    backwards = np.take_along_axis(one, decides, 1) > np.take_along_axis(other, decides, 1)
    return np.where(backwards, np.hstack([other, one]), np.hstack([one, other]))


def _column(
    rounded: Callable[[np.ndarray], np.ndarray], x: np.ndarray, slack: float, least: float, most: float
) -> tuple[np.ndarray, np.ndarray]:
    """The first or last column whose centre is beyond x, and the positions where rounding may have decided that."""
    away = x - 0.5
    unsure = np.flatnonzero(~(np.abs(away - np.rint(away)) > slack))  # NaN and infinity, too
    return rounded(away).clip(least, most), unsure


def _count(counts: np.ndarray, row: np.ndarray, column: np.ndarray, step: int) -> None:
    """Add `step` at each (row, column); on a flat array this is several times faster."""
    np.add.at(counts.reshape(-1), row * counts.shape[1] + column.astype(int), counts.dtype.type(step))


def _tangents(parts: np.ndarray) -> np.ndarray:
    """`(n, 6)` pairs of discs x, y, radius -> `(n, 8)` ends of both tangents; NaN where one disc holds the other."""
    x0, y0, r0, x1, y1, r1 = parts.T
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
    for x, height, radius in ((x0, y - y0, r0), (x1, y - y1, r1)):
        half = np.sqrt(np.where(np.abs(height) <= radius, radius**2 - height**2, np.nan))
        start, stop = np.fmin(start, x - half), np.fmax(stop, x + half)
    for xa, ya, xb, yb in (tangents[:4], tangents[4:]):
        meets = (np.minimum(ya, yb) <= y) & (y <= np.maximum(ya, yb)) & (ya != yb)
        x = xa + (y - ya) * (xb - xa) / np.where(meets, yb - ya, np.nan)
        start, stop = np.fmin(start, x), np.fmax(stop, x)
    return start, stop


def _covered(part: np.ndarray, column: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether the centre of a column lies in a disc whose centre and radius go linearly from one to the other.

    The discriminant of `|p - c(t)|^2 <= r(t)^2` in t, which is quadratic; its vertex must lie between the ends.
    """
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


def _rows(first: np.ndarray, last: np.ndarray, top: int, bottom: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (index, row) for the rows first..last of each index inside of top..bottom - 1, some at a time."""
    first, last = first.clip(min=top).astype(int), last.clip(max=bottom - 1).astype(int)
    counts = (last - first + 1).clip(min=0)
    before = np.concatenate([[0], np.cumsum(counts)])
    for start in range(0, int(before[-1]), _AT_ONCE):
        stop = min(start + _AT_ONCE, int(before[-1]))
        low, high = np.searchsorted(before, start, side="right") - 1, np.searchsorted(before, stop, side="left")
        own = np.minimum(before[low + 1 : high + 1], stop) - np.maximum(before[low:high], start)
        index = np.repeat(np.arange(low, high), own)
        yield index, first[index] + np.arange(start, stop) - before[index]
