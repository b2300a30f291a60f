"""What was meant to be drawn, as pixels: by distance and by crossing number, without anything of salign's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Points = Sequence[tuple[float, float]]


def _centres(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return columns + 0.5, rows + 0.5


def stroke(points: Points, radius: float, size: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre is within `radius` of the line through the points."""
    x, y = _centres(size)
    near = np.full(size, np.inf)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[-1]], strict=True):
        dx, dy = bx - ax, by - ay
        length = dx * dx + dy * dy
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / length, 0, 1) if length else 0.0
        near = np.minimum(near, np.hypot(x - ax - along * dx, y - ay - along * dy))
    return near <= radius


def polygon(points: Points, size: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre a ray leaves an odd number of times."""
    x, y = _centres(size)
    inside = np.zeros(size, bool)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        crosses = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside


def box(points: Points, size: tuple[int, int]) -> np.ndarray:
    x, y = _centres(size)
    (ax, ay), (bx, by) = points
    return (x >= min(ax, bx)) & (x <= max(ax, bx)) & (y >= min(ay, by)) & (y <= max(ay, by))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    union = np.logical_or(one, other).sum()
    return float(np.logical_and(one, other).sum() / union) if union else 1.0
