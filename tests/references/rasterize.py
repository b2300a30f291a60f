"""Shapes pixel by pixel in exact fractions: nothing is rounded, nothing is vectorised."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from salign.maps.shapes import Box, Fixation, Polygon, Shape, Stroke

HALF = Fraction(1, 2)


def reference_rasterize(shapes: list[Shape], size: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(size, dtype=bool)
    for shape in shapes:
        for row, column in np.ndindex(size):
            if inside(shape, column + HALF, row + HALF):
                canvas[row, column] = not shape.erase
    return canvas


def inside(shape: Shape, x: Fraction, y: Fraction) -> bool:
    if isinstance(shape, Box):
        return shape.x0 <= x < shape.x1 and shape.y0 <= y < shape.y1
    if isinstance(shape, Polygon):
        return inside_polygon(shape, x, y)
    assert isinstance(shape, Stroke)
    return inside_stroke(shape, x, y)


def inside_polygon(shape: Polygon, x: Fraction, y: Fraction) -> bool:
    """Count the edges that a ray from the point to the left crosses."""
    crossings = 0
    points = [(Fraction(px), Fraction(py)) for px, py in shape.points]
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 <= y) != (y1 <= y):
            crossings += x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x
    return crossings % 2 == 1


def inside_stroke(shape: Stroke, x: Fraction, y: Fraction) -> bool:
    """Look for the t in [0, 1] whose disc reaches furthest over the point: |p - c(t)|^2 - r(t)^2 is lowest there."""
    discs = [(Fraction(px), Fraction(py), Fraction(r)) for (px, py), r in zip(shape.points, shape.radii, strict=True)]
    for (x0, y0, r0), (x1, y1, r1) in zip(discs, discs[1:] or discs, strict=False):
        dx, dy, dr = x1 - x0, y1 - y0, r1 - r0
        times = [Fraction(0), Fraction(1)]
        bend = dx**2 + dy**2 - dr**2
        if bend > 0:
            lowest = ((x - x0) * dx + (y - y0) * dy + r0 * dr) / bend
            times.append(min(max(lowest, Fraction(0)), Fraction(1)))
        for t in times:
            if (x - x0 - t * dx) ** 2 + (y - y0 - t * dy) ** 2 <= (r0 + t * dr) ** 2:
                return True
    return False


def reference_fixation_map(fixations: list[Fixation], size: tuple[int, int], sigma: float) -> np.ndarray:
    """The Gaussians of the fixations, one pixel at a time."""
    found = np.zeros(size)
    for row, column in np.ndindex(size):
        for fixation in fixations:
            if not (0 <= fixation.x < size[1] and 0 <= fixation.y < size[0]):
                continue
            x0, y0, x1, y1 = fixation.shown or (0, 0, size[1], size[0])
            if not (x0 <= column + 0.5 < x1 and y0 <= row + 0.5 < y1):
                continue
            spread_x, spread_y = fixation.spread or (sigma, sigma)
            away = ((column + 0.5 - fixation.x) / spread_x) ** 2 + ((row + 0.5 - fixation.y) / spread_y) ** 2
            found[row, column] += fixation.duration * np.exp(-away / 2) / (2 * np.pi * spread_x * spread_y)
    return found / found.max() if found.any() else found
