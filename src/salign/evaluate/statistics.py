"""How certain a figure is: the percentile bootstrap over images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from salign.checks import instance, number, numbers
from salign.errors import SalignError
from salign.evaluate.ranking import Array

_CELLS = 4_000_000
"""Number of counts held at once (32 MB as float64), so that memory does not grow with images times resamples."""


def bootstrap_counts(strata: ArrayLike, resamples: int, generator: np.random.Generator) -> Iterator[Array]:
    """Draw images with replacement, within each stratum, and count how often each image was drawn.

    The draw is stratified because test sets are composed by design, with a chosen number of attacks of each species and
    of bona fide presentations. Each resample keeps the number of images of every stratum, so that no resample lacks a
    class, and the interval holds for other images of the same mix. Pass one stratum for all images to resample freely.

    Args:
        strata: `(N,)` any values; images with equal values are one stratum.
        resamples: number of resamples to draw.
        generator: source of randomness; its state moves on.

    Yields:
        `(r, N)` float64 counts, one row per resample; the `r` of all blocks add up to `resamples`. Each row sums to N.

    Raises:
        SalignError: there are no images, or `resamples` is below 1.
    """
    number("resamples", resamples, "[1, inf)", whole=True)
    instance("generator", generator, np.random.Generator, "a numpy.random.Generator")
    groups = np.asarray(strata)
    if groups.ndim != 1 or not len(groups) or (groups.dtype == object and None in groups.tolist()):
        raise SalignError(f"strata: expected (N,) values, one per image, got {groups.dtype} {groups.shape}.")
    _, codes = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    block = max(1, _CELLS // len(codes))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        counts = np.zeros((rows, len(codes)))
        for positions in members:
            size = len(positions)
            picks = generator.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
            counts[:, positions] = np.bincount(picks.ravel(), minlength=rows * size).reshape(rows, size)
        yield counts


def percentile_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval (Efron 1979) of `(R,)` resampled values; NaN if any of them is NaN.

    Raises:
        SalignError: `confidence` is not between 0 and 1, or the values are not `(R,)` with R >= 1.
    """
    upper = upper_tail(confidence)
    array = numbers("values", values)
    if array.ndim != 1 or not len(array):
        raise SalignError(f"values: expected (R,) resampled values, got {array.shape}.")
    low, high = np.quantile(array, [1 - upper, upper])
    return float(low), float(high)


def upper_tail(confidence: float) -> float:
    """Return the quantile above which half of the error probability lies: .975 for .95.

    Raises:
        SalignError: `confidence` is not between 0 and 1.
    """
    number("confidence", confidence, "(0, 1)")
    return (1 + confidence) / 2
