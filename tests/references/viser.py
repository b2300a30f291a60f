"""VISER's loss: smoothing and distance one image and cell at a time, and the blend."""

from __future__ import annotations

import numpy as np

from references.cyborg import distance, scaled

KERNEL = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
"""In sixteenths."""


def smoothed(values: np.ndarray) -> np.ndarray:
    """Edges are repeated outwards."""
    rows, columns = values.shape
    found = np.zeros_like(values)
    for row in range(rows):
        for column in range(columns):
            for up in (-1, 0, 1):
                for left in (-1, 0, 1):
                    near = values[min(max(row + up, 0), rows - 1), min(max(column + left, 0), columns - 1)]
                    found[row, column] += KERNEL[up + 1][left + 1] / 16 * near
    return found


def smoothed_distance(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    """Human maps are of the CAM's size, None = nobody looked."""
    shaped = [human if human is not None and human.max() > human.min() else None for human in humans]
    return distance(cams, [None if human is None else smoothed(scaled(human)) for human in shaped])


def blended(ce: float, apart: float) -> float:
    alpha = ce / (ce + apart + 1e-8)
    return alpha * ce + (1 - alpha) * apart
