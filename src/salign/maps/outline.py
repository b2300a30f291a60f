"""From a map to the outlines of what it marks, so that people can go on from a machine's map."""

from __future__ import annotations

import itertools
from typing import Any

import contourpy
import numpy as np

from salign.checks import number, numbers
from salign.errors import SalignError
from salign.maps.shapes import Polygon


def outlines(values: np.ndarray, level: float = 0.5, smallest: float = 0.0) -> list[Polygon]:
    """Polygons around the places of a map at or above a share of its maximum.

    Rasterised in this order (holes take away what they surround) they give those places back, exactly for masks. The
    lines run midway between the centres of pixels where these are 0 and 1, by linear interpolation otherwise.

    Args:
        values: `(H, W)` bool, or floating point >= 0.
        level: share of the maximum, in (0, 1).
        smallest: places below this share of the map's area are left out.

    Returns:
        In pixels of the map, the largest first; none for a blank map.

    Raises:
        SalignError: `level` is not in (0, 1), `smallest` no share, or the values are no map.
    """
    number("level", level, "(0, 1)")
    number("smallest", smallest, "[0, 1]")
    array = numbers("values", values)
    if array.ndim != 2 or not (np.isfinite(array).all() and array.min(initial=0) >= 0):
        raise SalignError(f"values: expected a map (H, W), finite and >= 0, got {array.shape} from {array.min():g}.")
    padded = np.pad(array, 1)  # so that lines close at the edges
    top = float(padded.max())
    if top <= 0:
        return []
    generator: Any = contourpy.contour_generator(z=padded, fill_type=contourpy.FillType.OuterOffset)
    points, offsets = generator.filled(level * top, np.inf)
    areas = []
    for ring, cuts in zip(points, offsets, strict=True):
        rings = [_points(ring[a:b]) for a, b in itertools.pairwise(cuts)]
        outer, *holes = [corners for corners in rings if len(corners) >= 3]
        areas.append((_area(outer), [Polygon(outer), *(Polygon(hole, erase=True) for hole in holes)]))
    large = [area for area in areas if area[0] >= smallest * np.size(values)]
    ordered = sorted(large, key=lambda area: -area[0])  # what lies in a hole comes after the hole
    return [polygon for _, polygons in ordered for polygon in polygons]


def _points(ring: np.ndarray) -> tuple[tuple[float, float], ...]:
    """A closed ring of (x, y) in cells of the padded map -> corners in pixels."""
    return tuple((float(x) - 0.5, float(y) - 0.5) for x, y in ring[:-1])


def _area(ring: tuple[tuple[float, float], ...]) -> float:
    x, y = np.array(ring).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
