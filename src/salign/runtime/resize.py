"""The resize of training, in numpy: 8-bit images are equal to the last bit to torch's on a CPU with AVX2.

Each axis is averaged with a triangle whose width grows with the shrinking (antialiasing), first along rows, then along
columns. 8-bit values are weighted with 16-bit whole numbers and rounded after each axis, as in Pillow. On a CPU for
which torch has no such code, its result may differ by one step of 255.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_BITS = 22
"""The largest number of bits behind the binary point of a weight."""


def resize_pixels(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Stretch a picture to a size.

    Args:
        pixels: `(H, W, C)`, uint8, or float32 in [0, 1].
        size: (h, w) of the result.

    Returns:
        `(h, w, C)` of the same type.
    """
    for axis in (1, 0):
        if pixels.shape[axis] != size[axis]:
            pixels = _resize_axis(pixels, axis, size[axis])
    return pixels


def _resize_axis(pixels: NDArray[Any], axis: int, after: int) -> NDArray[Any]:
    whole = pixels.dtype == np.uint8
    windows = _windows(pixels.shape[axis], after, np.float64 if whole else np.float32)
    bits = _bits(max(float(weights.max()) for _, weights in windows)) if whole else 0
    along = np.moveaxis(pixels, axis, 0)
    lines = []
    for first, weights in windows:
        if whole:
            weights = np.floor(weights * (1 << bits) + 0.5)
        lines.append(np.tensordot(weights, along[first : first + len(weights)].astype(np.float64), axes=(0, 0)))
    values = np.stack(lines, axis=axis)
    if whole:  # sums of whole numbers below 2**53 are exact
        return np.clip(np.floor((values + (1 << (bits - 1))) / (1 << bits)), 0, 255).astype(np.uint8)
    return np.clip(values, 0, 1).astype(np.float32)


def _windows(before: int, after: int, kind: type[np.floating[Any]]) -> list[tuple[int, NDArray[Any]]]:
    """Return for every output position the first input position that it is made of, and the weights from there on.

    They are computed in the precision that torch takes for these pixels, which decides where a window begins.
    """
    scale = kind(before / after)
    reach = max(scale, kind(1))
    windows = []
    for position in range(after):
        centre = scale * kind(position + 0.5)
        first, end = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), before)
        weights = np.maximum(1 - np.abs((np.arange(first, end).astype(kind) - centre + kind(0.5)) / reach), 0)
        windows.append((first, weights / weights.sum()))
    return windows


def _bits(largest: float) -> int:
    """Return the most bits behind the binary point with which the largest weight still is a 16-bit number."""
    return min(_MOST_BITS, next(bits for bits in range(32) if math.floor(0.5 + largest * 2 ** (bits + 1)) >= 1 << 15))
