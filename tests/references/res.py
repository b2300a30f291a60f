"""The RES distance, one image, threshold and cell at a time."""

from __future__ import annotations

from math import tanh

import numpy as np

from references.cyborg import scaled


def res_distance(
    cams: np.ndarray,
    humans: list[np.ndarray | None],
    *,
    kernel: np.ndarray,
    slack: float = 0.1,
    relevant: float = 0.5,
    irrelevant: float = 0.0,
) -> float:
    """Mean over the images whose map has a shape; human maps are of the CAM's size, None = nobody looked."""
    found = []
    for cam, human in zip(cams, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        model, person = scaled(cam), scaled(human)
        said = np.array([[1 if v >= relevant else -1 if v <= irrelevant else 0 for v in row] for row in person])
        best = min(disagreement(model, said, threshold / 20) for threshold in range(21))
        rows, columns = said.shape
        apart = 0.0
        for row in range(rows):
            for column in range(columns):
                smooth = 0.0
                for up in (-1, 0, 1):
                    for left in (-1, 0, 1):
                        near = said[min(max(row + up, 0), rows - 1), min(max(column + left, 0), columns - 1)]
                        smooth += kernel[up + 1, left + 1] * near
                apart += abs(model[row, column] - max(smooth, 0))
        found.append(max(best - slack, 0) + apart / model.size)
    return sum(found) / len(found) if found else 0.0


def disagreement(model: np.ndarray, said: np.ndarray, threshold: float) -> float:
    """Mean over the cells that people said something about."""
    pairs = [(value, word) for value, word in zip(model.flat, said.flat, strict=True) if word != 0]
    return sum(abs(tanh(5 * (value - threshold)) - word) for value, word in pairs) / len(pairs)
