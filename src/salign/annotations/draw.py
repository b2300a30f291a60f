"""Drawing marks as maps of any size, whether the marks come from a tool, the annotation page or a draft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from salign.annotations.annotated import Annotated, Stored
from salign.annotations.rle import Runs, at_size
from salign.maps.rasterize import fixation_map, rasterize
from salign.maps.shapes import Box, Fixation, Polygon, Shape, scaled

_STEP = 2.0**-20
"""Coordinates that were shares of a side are rounded to this fraction of a pixel, so that a corner at half a pixel is
there again after an export and an import."""


def draw_marks(marks: Sequence[Annotated], size: tuple[int, int], sigma: float | None = None) -> np.ndarray:
    """Draw one map of several marks together: the union of all areas, masks and the map of all fixations.

    Args:
        marks: marks on one image; each is scaled from its own size to `size`.
        size: (H, W) of the map.
        sigma: standard deviation, in pixels of the map, of the Gaussian of fixations that have no spread of their own.

    Returns:
        `(H, W)` float32 in [0, 1], the maximum of what the marks draw; all zeros if there are no marks.

    Raises:
        SalignError: a fixation has no spread of its own and `sigma` is None.
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
    """Scale the shapes of a mark to an image of `size` (H, W); a mask is only scaled when it is drawn.

    Corners that were shares of the sides are rounded to 2**-20 of a pixel, because the sixteen digits of a share are
    not precise enough to put an edge exactly onto the centre of a pixel.
    """
    own = (1, 1) if mark.relative else mark.size or size
    if own == size:
        return mark
    shapes = tuple(scaled(shape, size[1] / own[1], size[0] / own[0]) for shape in mark.shapes)
    shapes = tuple(map(_rounded, shapes)) if mark.relative else shapes
    return replace(mark, shapes=shapes, size=size, relative=False)


def _rounded(shape: Shape) -> Shape:
    """Return a polygon or box with its corners rounded to multiples of `_STEP`, and any other shape unchanged."""
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
    """Return a mask at `size` (H, W): bool for a binary mask, else float32 in [0, 1].

    Grey masks are resized by the mean over the covered area to shrink, and bilinearly to enlarge.
    """
    values = mask.decode() if isinstance(mask, Runs) else np.asarray(mask)
    if values.dtype == np.bool_:
        return at_size(values, size)
    if values.shape == size:
        return values
    import torch  # late: grey masks of another size are rare, and errors in the marks should not wait for the import

    from salign.maps import resize

    return resize(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)), size).clamp(0, 1).numpy()
