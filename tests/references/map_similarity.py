"""The mean correlation of two images' maps, pair by pair."""

from __future__ import annotations

import math

import numpy as np


def correlation(one: np.ndarray, two: np.ndarray) -> float:
    """Pearson's, over the cells of two `(H, W)` maps."""
    first, second = [float(v) for v in one.ravel()], [float(v) for v in two.ravel()]
    mean, other = sum(first) / len(first), sum(second) / len(second)
    shared = sum((a - mean) * (b - other) for a, b in zip(first, second, strict=True))
    spread = sum((a - mean) ** 2 for a in first) * sum((b - other) ** 2 for b in second)
    return shared / math.sqrt(spread)


def mean_correlation(maps: list[np.ndarray]) -> float:
    """Over all ordered pairs of different maps of one size; maps without a shape do not count."""
    shaped = [one for one in maps if one.max() > one.min()]
    found = [correlation(one, two) for i, one in enumerate(shaped) for j, two in enumerate(shaped) if i != j]
    return sum(found) / len(found)


def cells(values: np.ndarray, grid: int = 32) -> np.ndarray:
    """Means of equal blocks; height and width are multiples of `grid`."""
    height, width = values.shape[0] // grid, values.shape[1] // grid
    return np.array(
        [
            [values[i * height : (i + 1) * height, j * width : (j + 1) * width].mean() for j in range(grid)]
            for i in range(grid)
        ]
    )
