"""The point from which on two curves differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from salign.checks import number
from salign.errors import SalignError


def departure(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], *, by: float) -> int | None:
    """Find the first point from which on the second curve stays more than `by` above the first, or below it.

    Only the side counts on which the second curve ends. If it was above the first curve and ends below it, the point is
    where it falls more than `by` below.

    Args:
        first: `(P,)` values of the first curve.
        second: `(P,)` values of the second curve at the same points.
        by: 0 or more, in the units of the curves.

    Returns:
        The number of the point, counted from 0; None if the curves are within `by` of each other at the end.
    """
    number("by", by, "[0, inf)")
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise SalignError(f"expected two curves at the same places (P >= 1), got {first.shape} and {second.shape}.")
    gap = (second - first) * np.sign(second[-1] - first[-1])
    within = np.flatnonzero(gap <= by)
    start = int(within[-1]) + 1 if len(within) else 0
    return start if start < len(first) else None
