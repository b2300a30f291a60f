"""Marks -> maps, at any size: those of a tool, of the page, of a draft, of one person or of all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from salign.annotations.annotated import Annotated, Stored
from salign.annotations.rle import Runs, at_size
from salign.maps.rasterize import fixation_map, rasterize
from salign.maps.shapes import Box, Fixation, Polygon, Shape, scaled

_STEP = 2.0**-20
"""Pixels to which shares of a side are rounded: a corner at half a pixel is there again after an export."""


def draw_marks(marks: Sequence[Annotated], size: tuple[int, int], sigma: float | None = None) -> np.ndarray:
    """One map of all these marks together: the union of areas, or the fixations' Gaussians.

    Args:
        marks: marks on one image; each is scaled from its own size to `size`.
        size: (H, W) of the map.
        sigma: spread of fixations that have none of their own, in pixels.

    Returns:
        `(H, W)` float32 in [0, 1]; all zeros where there are no marks.

    Raises:
        SalignError: fixations without a sigma.
    """
    values = np.zeros(size, dtype=np.float32)
    fitting = [scaled_to(mark, size) for mark in marks]
    fixations = [shape for mark in fitting for shape in mark.shapes if isinstance(shape, Fixation)]
    if fixations:
        values = fixation_map(fixations, size, sigma)
    for mark in fitting:
        areas = [shape for shape in mark.shapes if not isinstance(shape, Fixation)]
        if areas:
            np.maximum(values, rasterize(areas, size), out=values)
        if mark.mask is not None:
            np.maximum(values, mask_at(mark.mask, size), out=values)
    return values


def scaled_to(mark: Annotated, size: tuple[int, int]) -> Annotated:
    """The marks in pixels of an image of this size (H, W); a mask is scaled when it is drawn.

    Corners that were shares of the sides are rounded to 2**-20 of a pixel. Sixteen digits of a share are not enough to
    say on which side of the centre of a pixel an edge is that lies on it.
    """
    own = (1, 1) if mark.relative else mark.size or size
    if own == size:
        return mark
    shapes = tuple(scaled(shape, size[1] / own[1], size[0] / own[0]) for shape in mark.shapes)
    shapes = tuple(map(_rounded, shapes)) if mark.relative else shapes
    return replace(mark, shapes=shapes, size=size, relative=False)


def _rounded(shape: Shape) -> Shape:
    """A polygon or box with its corners at multiples of `_STEP`; any other shape as it is."""
    match shape:
        case Polygon():
            return replace(shape, points=tuple((_nearest(x), _nearest(y)) for x, y in shape.points))
        case Box():
            x0, y0, x1, y1 = map(_nearest, (shape.x0, shape.y0, shape.x1, shape.y1))
            return Box(x0, y0, x1, y1, shape.erase, shape.times)
    return shape


def _nearest(coordinate: float) -> float:
    return round(coordinate / _STEP) * _STEP


def mask_at(mask: np.ndarray | Runs | Stored, size: tuple[int, int]) -> np.ndarray:
    """`(H, W)` bool of a yes-or-no mask, else float32 in [0, 1]: means of areas to shrink, bilinear to grow."""
    values = mask.decode() if isinstance(mask, Runs) else np.asarray(mask)
    if values.dtype == np.bool_:
        return at_size(values, size)
    if values.shape == size:
        return values
    import torch  # marks are seldom masks of another size, and what is wrong with them is said at once

    from salign.maps import resize

    return resize(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)), size).clamp(0, 1).numpy()
