"""Contextual decomposition of a small network: convolution, ReLU, max pooling, linear layer, one number at a time."""

from __future__ import annotations

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]
"""What comes from the region, and the rest."""


def shared(part: float, rest: float, bias: float) -> tuple[float, float]:
    """The bias goes to both by their sizes."""
    both = abs(part) + abs(rest)
    share = abs(part) / both if both > 0 else 0.5
    return part + share * bias, rest + (1 - share) * bias


def convolution(pair: Pair, weight: np.ndarray, bias: np.ndarray) -> Pair:
    """`(C, H, W)` each, `weight` `(D, C, k, k)`, no padding."""
    size = weight.shape[2]
    shape = (len(weight), pair[0].shape[1] - size + 1, pair[0].shape[2] - size + 1)
    part, rest = np.zeros(shape), np.zeros(shape)
    for place in np.ndindex(shape):
        channel, row, column = place
        window = np.s_[:, row : row + size, column : column + size]
        part[place], rest[place] = shared(
            sum((weight[channel] * pair[0][window]).ravel()),
            sum((weight[channel] * pair[1][window]).ravel()),
            bias[channel],
        )
    return part, rest


def relu(pair: Pair) -> Pair:
    """The region first."""
    part, rest = np.zeros_like(pair[0]), np.zeros_like(pair[0])
    for place in np.ndindex(pair[0].shape):
        part[place] = max(pair[0][place], 0)
        rest[place] = max(pair[0][place] + pair[1][place], 0) - part[place]
    return part, rest


def max_pool(pair: Pair) -> Pair:
    """Windows of 2 x 2: both are taken from where their sum is greatest."""
    channels, rows, columns = pair[0].shape
    part, rest = (np.zeros((channels, rows // 2, columns // 2)) for _ in range(2))
    for channel, row, column in np.ndindex(part.shape):
        window = [(channel, 2 * row + down, 2 * column + right) for down in (0, 1) for right in (0, 1)]
        best = max(window, key=lambda place: pair[0][place] + pair[1][place])
        part[channel, row, column], rest[channel, row, column] = pair[0][best], pair[1][best]
    return part, rest


def linear(pair: Pair, weight: np.ndarray, bias: np.ndarray) -> Pair:
    """Flattened first."""
    flat = [side.ravel() for side in pair]
    both = [shared(sum(row * flat[0]), sum(row * flat[1]), b) for row, b in zip(weight, bias, strict=True)]
    return np.array([part for part, _ in both]), np.array([rest for _, rest in both])
