"""Outlines that tools know and salign does not: ellipses, turned rectangles, lines and points, as shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from salign.errors import SalignError
from salign.maps.shapes import Polygon, Shape, Stroke

CORNERS = 128
"""Corners of the polygon that stands for an ellipse."""

Point = tuple[float, float]


def ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0) -> Shape:
    """An ellipse about (x, y): a disc where the half axes are equal, else a polygon of the same area.

    Args:
        x: centre, to the right.
        y: centre, down.
        across: half axis that lies along x before turning, px >= 0.
        down: the other half axis.
        turn: radians, clockwise as seen (y is down).
    """
    if across == down:
        return Stroke(((x, y),), (across,))
    step = 2 * math.pi / CORNERS
    grown = math.sqrt(step / math.sin(step))
    round_ = [(across * grown * math.cos(k * step), down * grown * math.sin(k * step)) for k in range(CORNERS)]
    return Polygon(_turned(round_, x, y, turn))


def turned_box(x: float, y: float, width: float, height: float, turn: float) -> Polygon:
    """A rectangle with its corner at (x, y), turned about that corner by `turn` radians, clockwise as seen."""
    return Polygon(_turned([(0, 0), (width, 0), (width, height), (0, height)], x, y, turn))


def line(points: Sequence[Point], width: float | None) -> Stroke:
    """A line through points (or a single point) of a thickness.

    Raises:
        SalignError: no thickness is given: lines and points have no area by themselves.
    """
    if width is None:
        raise SalignError(
            "lines and points have no area; give --width, the thickness of a line and diameter of a point in pixels"
        )
    return Stroke(tuple(points), (width / 2,) * len(points))


def _turned(corners: Sequence[Point], x: float, y: float, turn: float) -> tuple[Point, ...]:
    c, s = math.cos(turn), math.sin(turn)
    return tuple((x + c * dx - s * dy, y + s * dx + c * dy) for dx, dy in corners)
