"""Overlays of maps on images with numpy alone, so that an exported model can be used where torch is not installed.

Maps are `(H, W)` float32 arrays, pictures are `(H, W, 3)` uint8 arrays. The functions here check nothing;
`salign.maps.render` checks its arguments before it calls them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Pixels = NDArray[np.uint8]

OPACITY = 0.55
"""The opacity of the overlay where the map is 1. The image below stays recognisable."""

# Nine samples of the colour map "plasma" (van der Walt, Smith & Firing 2015, CC0), which is evenly spaced in perceived
# lightness and saturated at both ends, so that it stands out on grey images. Colours between the samples are
# interpolated.
HEAT: Map = np.array(
    [
        [0x0D, 0x08, 0x87],
        [0x4C, 0x02, 0xA1],
        [0x7E, 0x03, 0xA8],
        [0xAA, 0x23, 0x95],
        [0xCC, 0x47, 0x78],
        [0xE5, 0x6B, 0x5D],
        [0xF8, 0x94, 0x41],
        [0xFD, 0xC3, 0x28],
        [0xF0, 0xF9, 0x21],
    ],
    dtype=np.float32,
)
"""`(9, 3)` RGB in [0, 255]: the colours for the values 0, 1/8, ..., 1 of a map."""
ROUNDING = 1e-5
"""A map whose range is at most this share of its largest magnitude counts as constant. Such differences are rounding
errors, which scaling would amplify to a map (and its gradient to 1 / rounding error). One step of a 16-bit map, 1.5e-5,
is larger."""


def scaled(values: Map) -> Map:
    """Scale one map to [0, 1] as `salign.maps.min_max` does; a constant map becomes all zeros."""
    low, high = values.min(), values.max()
    alike = high - low <= max(ROUNDING * max(abs(low), abs(high)), float(np.finfo(values.dtype).tiny) ** 0.5)
    return np.zeros_like(values) if alike else (values - low) / (high - low)


def heat_colours(values: Map) -> Pixels:
    """Colour a map `(H, W)` in [0, 1] as `(H, W, 3)`: dark blue at 0, magenta in the middle, yellow at 1."""
    position = values * np.float32(len(HEAT) - 1)
    lower = np.minimum(np.floor(position).astype(np.int64), len(HEAT) - 2)
    part = (position - lower.astype(np.float32))[..., None]
    return np.rint((1 - part) * HEAT[lower] + part * HEAT[lower + 1]).astype(np.uint8)


def lay_over(pixels: Pixels, values: Map) -> Pixels:
    """Lay a map `(h, w)` in [0, 1] over its image: transparent at 0, more opaque towards 1, outlined at 0.5."""
    height, width = pixels.shape[:2]
    down, right = _resizing(values.shape[0], height), _resizing(values.shape[1], width)
    fitted: Map = np.clip(down @ values @ right.T, 0, 1).astype(np.float32)
    opacity: NDArray[Any] = (np.float32(OPACITY) * fitted)[..., None]
    mixed = (1 - opacity) * pixels + opacity * heat_colours(fitted)
    mixed[_outline(fitted >= 0.5)] = HEAT[-1]
    return np.rint(mixed).astype(np.uint8)


def _resizing(before: int, after: int) -> Map:
    """Return the matrix `(after, before)` that resizes one axis as `salign.maps.resize` does.

    It takes the mean over the covered area to shrink, and interpolates linearly to enlarge.
    """
    steps = np.arange(after)
    if after < before:
        first, end = steps * before // after, -(-(steps + 1) * before // after)
        cells = np.arange(before)
        inside = (cells >= first[:, None]) & (cells < end[:, None])
        return (inside / (end - first)[:, None]).astype(np.float32)
    position = np.maximum((steps + 0.5) * (before / after) - 0.5, 0)
    lower = position.astype(np.int64)
    weights = np.zeros((after, before))
    weights[steps, lower] = 1 - (position - lower)
    weights[steps, np.minimum(lower + 1, before - 1)] += position - lower
    return weights.astype(np.float32)


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return `(H, W)` bool: the pixels just outside a marked region that share a side with one of its pixels."""
    grown = inside.copy()
    grown[1:] |= inside[:-1]
    grown[:-1] |= inside[1:]
    grown[:, 1:] |= inside[:, :-1]
    grown[:, :-1] |= inside[:, 1:]
    return grown & ~inside
