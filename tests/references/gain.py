"""GAIN's erased image and what is left of the score, one image and pixel at a time."""

from __future__ import annotations

import math

import numpy as np

from references.cyborg import scaled
from references.swap import softmax


def enlarged(grid: np.ndarray, side: int) -> np.ndarray:
    """`(h, h)` -> `(side, side)`, bilinear between the middles of cells, constant beyond the outermost."""
    cells = len(grid)
    out = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            y, x = (min(max((at + 0.5) * cells / side - 0.5, 0), cells - 1) for at in (row, column))
            for top in range(cells):
                for left in range(cells):
                    out[row, column] += max(0, 1 - abs(y - top)) * max(0, 1 - abs(x - left)) * grid[top, left]
    return out


def erased(image: np.ndarray, cam: np.ndarray, omega: float, sigma0: float) -> np.ndarray:
    """`(3, H, H)` without what the map `(h, h)` shows."""
    big = enlarged(scaled(cam), image.shape[1])
    out = image.copy()
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            mask = 1 / (1 + math.exp(-omega * (big[row, column] - sigma0)))
            out[:, row, column] -= mask * image[:, row, column]
    return out


def score(logits: np.ndarray, labels: list[int], cams: np.ndarray) -> float:
    """Mean probability of the true class where the map is not the same everywhere; `(B, K)` and `(B, h, h)`."""
    shown = [i for i, cam in enumerate(cams) if cam.max() > cam.min()]
    return sum(softmax(logits[i])[labels[i]] for i in shown) / len(shown)
