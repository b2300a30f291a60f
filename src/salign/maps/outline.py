"""Outlines of the regions that a map marks, so that people can edit a machine's map as polygons."""

from __future__ import annotations

import itertools
from typing import Any

import contourpy
import numpy as np

from salign.checks import number, numbers
from salign.errors import SalignError
from salign.maps.shapes import Polygon


def outlines(values: np.ndarray, level: float = 0.5, smallest: float = 0.0) -> list[Polygon]:
    """Return polygons around the regions in which a map is at or above a share of its maximum.

    A hole in a region is a polygon with `erase`, which follows the region's outer polygon. `rasterize` of the polygons
    in the order returned gives the regions back, exactly if the map is a mask. Between a pixel of value 0 and one of
    value 1 the outline runs midway between their centres if `level` is 0.5; in general it lies where linear
    interpolation between the centres of pixels reaches the level.

    Args:
        values: `(H, W)` bool, or floating point >= 0.
        level: the share of the map's maximum, in (0, 1).
        smallest: regions whose outer polygon covers less than this share of the map's area are left out; in [0, 1].

    Returns:
        Polygons in pixels of the map, those of the largest region first; an empty list for a blank map.

    Raises:
        SalignError: `level` is not in (0, 1), `smallest` is not in [0, 1], or `values` are not 2-D, finite and >= 0.
    """
    number("level", level, "(0, 1)")
    number("smallest", smallest, "[0, 1]")
    array = numbers("values", values)
    if array.ndim != 2 or not (np.isfinite(array).all() and array.min(initial=0) >= 0):
        least = f" from {array.min():g}" if array.size else ""
        raise SalignError(f"values: expected a map (H, W), finite and >= 0, got {array.shape}{least}.")
    padded = np.pad(array, 1)  # so that outlines are closed at the edges of the map
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
    ordered = sorted(large, key=lambda area: -area[0])  # a region inside a hole comes after the hole
    return [polygon for _, polygons in ordered for polygon in polygons]


def _points(ring: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Turn a closed ring of (x, y) between the cells of the padded map into corners in pixels of the map."""
    return tuple((float(x) - 0.5, float(y) - 0.5) for x, y in ring[:-1])


def _area(ring: tuple[tuple[float, float], ...]) -> float:
    x, y = np.array(ring).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
