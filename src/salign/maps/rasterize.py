"""Rasterisation of shapes: a pixel belongs to a shape if its centre lies inside.

If a pixel's centre lies on the boundary: a polygon or box includes its left and top edges and excludes its right and
bottom edges, so that shapes which share an edge share no pixel. A stroke includes its whole boundary. The ends of each
row of pixels are first estimated in floating point and then corrected by products of differences, which are exact for
coordinates of few digits. Memory is only needed for the part of a shape inside the image, whatever its coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from salign.errors import SalignError
from salign.maps.polygon import inside_polygon
from salign.maps.scan import Window
from salign.maps.shapes import FARTHEST, SMALLEST_SPREAD, Box, Fixation, Polygon, Shape, Stroke
from salign.maps.stroke import inside_stroke

_PIXELS_AT_ONCE = 1 << 22
"""Most pixels that are computed together, which bounds the memory needed for a large image."""


def rasterize(shapes: Sequence[Shape], size: tuple[int, int]) -> np.ndarray:
    """Paint shapes in order: each adds its area to the mask, or takes it away if the shape has `erase`.

    Args:
        shapes: polygons, boxes and strokes; what lies outside the image is clipped.
        size: (H, W) of the image.

    Returns:
        `(H, W)` bool.

    Raises:
        SalignError: the size is not positive, or a shape is a fixation, which has no area.
    """
    canvas = np.zeros(_checked(size), dtype=bool)
    for shape in shapes:
        for window in _windows(shape, size):
            top, left, bottom, right = window
            part = canvas[top:bottom, left:right]
            inside = _inside(shape, window)
            if shape.erase:
                part &= ~inside
            else:
                part |= inside
    return canvas


def covers(shape: Shape, size: tuple[int, int]) -> bool:
    """Return whether a shape covers the centre of any pixel of an image of `size` (H, W); errors as for `rasterize`."""
    return any(_inside(shape, window).any() for window in _windows(shape, _checked(size)))


def fixation_map(fixations: Sequence[Fixation], size: tuple[int, int], sigma: float | None = None) -> np.ndarray:
    """Sum up a Gaussian for each fixation, with the fixation's duration as its volume, and divide by the maximum.

    The Gaussians are evaluated at the centres of the pixels. They are cut off only at the border of the part of the
    image that was shown at the time, as by the authors of REFLACX (Bigolin Lanfredi et al., Scientific Data 9, 2022).
    Fixations outside the image do not count.

    Args:
        fixations: fixations with positions in pixels of the image and durations in ms.
        size: (H, W) of the image.
        sigma: standard deviation in pixels, > 0, for the fixations that have no `spread` of their own.

    Returns:
        `(H, W)` float32 in [0, 1]; all zeros if no fixation with a duration above 0 lies on the image.

    Raises:
        SalignError: a shape is not a fixation, a fixation has no `spread` and `sigma` is None, or `size` or `sigma` is
            not positive.
    """
    height, width = _checked(size)
    if sigma is not None and not SMALLEST_SPREAD <= sigma <= FARTHEST:
        raise SalignError(f"expected sigma > 0 px, got {sigma}")
    # A Gaussian is the product of a horizontal and a vertical profile. The sum over many fixations is therefore one
    # matrix product, (H, fixations) x (fixations, W), for 256 fixations at a time, and no fixation needs its own (H, W)
    # array.
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
    """Return a fixation's Gaussian: x and y, height, spreads in x and y, and x0, y0, x1, y1 of the part shown."""
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


def _windows(shape: Shape, size: tuple[int, int]) -> Iterator[Window]:
    """Yield the part of the image that a shape may touch, in bands of at most `_PIXELS_AT_ONCE` pixels or one row."""
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
    # Pixel k has its centre at k + 0.5, so the first centre at or beyond x is that of pixel ceil(x - 0.5). One more
    # pixel on each side allows for rounding errors here; `_inside` then tests exactly.
    left, top = np.clip(np.ceil(low - 0.5) - 1, 0, None).clip(max=size[::-1]).astype(int)
    right, bottom = np.clip(np.floor(high - 0.5) + 2, 0, None).clip(max=size[::-1]).astype(int)
    if left < right:
        band = max(1, _PIXELS_AT_ONCE // int(right - left))
        for start in range(int(top), int(bottom), band):
            yield start, int(left), min(start + band, int(bottom)), int(right)


def _inside(shape: Shape, window: Window) -> np.ndarray:
    """Return `(rows, columns)` bool: which pixels of the window lie inside the shape."""
    match shape:
        case Box():
            top, left, bottom, right = window
            x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
            return ((shape.y0 <= y) & (y < shape.y1))[:, None] & ((shape.x0 <= x) & (x < shape.x1))
        case Polygon():
            return inside_polygon(np.array(shape.points), window)
        case Stroke():
            return inside_stroke(np.array(shape.points), np.array(shape.radii), window)
        case _:
            raise AssertionError(shape)
