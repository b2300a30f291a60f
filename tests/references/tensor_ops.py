"""Slow, obvious versions of salign.maps.tensor_ops, for one map at a time, in double precision."""

from __future__ import annotations

import numpy as np


def min_max(values: np.ndarray) -> np.ndarray:
    """`(H, W)` -> `(H, W)`."""
    out = np.zeros(values.shape)
    low, high = values.min(), values.max()
    if high > low:
        for i in range(values.shape[0]):
            for j in range(values.shape[1]):
                out[i, j] = (values[i, j] - low) / (high - low)
    return out


def sum_to_one(values: np.ndarray) -> np.ndarray:
    """`(H, W)` -> `(H, W)`."""
    total = sum(values[i, j] for i in range(values.shape[0]) for j in range(values.shape[1]))
    return values / total if total > 0 else np.zeros(values.shape)


def shrink(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mean over every pixel that a cell touches (the windows of adaptive average pooling)."""
    out = np.zeros(size)
    for i in range(size[0]):
        top, bottom = i * values.shape[0] // size[0], -(-(i + 1) * values.shape[0] // size[0])
        for j in range(size[1]):
            left, right = j * values.shape[1] // size[1], -(-(j + 1) * values.shape[1] // size[1])
            out[i, j] = values[top:bottom, left:right].mean()
    return out


def grow(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear between pixel centres, the edge repeated outwards."""
    out = np.zeros(size)
    for i in range(size[0]):
        y = min(max((i + 0.5) * values.shape[0] / size[0] - 0.5, 0), values.shape[0] - 1)
        for j in range(size[1]):
            x = min(max((j + 0.5) * values.shape[1] / size[1] - 0.5, 0), values.shape[1] - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, values.shape[0] - 1), min(x0 + 1, values.shape[1] - 1)
            fy, fx = y - y0, x - x0
            above = values[y0, x0] * (1 - fx) + values[y0, x1] * fx
            below = values[y1, x0] * (1 - fx) + values[y1, x1] * fx
            out[i, j] = above * (1 - fy) + below * fy
    return out
