"""Conversion of outlines that salign has no shape for: ellipses, rotated rectangles, lines and points."""

from __future__ import annotations

import math
from collections.abc import Sequence

from salign.errors import SalignError
from salign.maps.shapes import Polygon, Shape, Stroke

CORNERS = 128
"""Number of corners of the polygon that replaces an ellipse."""

Point = tuple[float, float]


def ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0) -> Shape:
    """Return an ellipse as a shape: a disc if its half axes are equal, else a polygon of the same area.

    Args:
        x: x of the centre, in pixels.
        y: y of the centre, in pixels.
        across: the half axis that is horizontal before the rotation, in pixels, >= 0.
        down: the half axis that is vertical before the rotation, in pixels, >= 0.
        turn: the rotation in radians, clockwise on the screen (y points down).
    """
    if across == down:
        return Stroke(((x, y),), (across,))
    step = 2 * math.pi / CORNERS
    grown = math.sqrt(step / math.sin(step))
    round_ = [(across * grown * math.cos(k * step), down * grown * math.sin(k * step)) for k in range(CORNERS)]
    return Polygon(_turned(round_, x, y, turn))


def turned_box(x: float, y: float, width: float, height: float, turn: float) -> Polygon:
    """Return a rectangle rotated about its corner at (x, y) by `turn` radians, clockwise on the screen."""
    return Polygon(_turned([(0, 0), (width, 0), (width, height), (0, height)], x, y, turn))


def line(points: Sequence[Point], width: float | None) -> Stroke:
    """Return a line through points, or a single point, as a stroke of the diameter `width` in pixels.

    Raises:
        SalignError: `width` is None; lines and points have no area by themselves.
    """
    if width is None:
        raise SalignError(
            "lines and points have no area; give --width, the thickness of a line and diameter of a point in pixels"
        )
    return Stroke(tuple(points), (width / 2,) * len(points))


def _turned(corners: Sequence[Point], x: float, y: float, turn: float) -> tuple[Point, ...]:
    c, s = math.cos(turn), math.sin(turn)
    return tuple((x + c * dx - s * dy, y + s * dx + c * dy) for dx, dy in corners)
