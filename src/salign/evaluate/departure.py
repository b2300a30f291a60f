"""When two curves part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from salign.checks import number
from salign.errors import SalignError


def departure(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], *, by: float) -> int | None:
    """Find the first place from which on the second curve stays more than `by` above the first, or below it.

    Only the side counts on which it ends: where it was above and is below at the end, it leaves when it falls below.

    Args:
        first: `(P,)`.
        second: `(P,)` at the same places.
        by: 0 or more, in the units of the curves.

    Returns:
        The place, counted from 0; None where the curves are together at the end.
    """
    number("by", by, "[0, inf)")
    if first.shape != second.shape or first.ndim != 1:
        raise SalignError(f"expected two curves at the same places, got {first.shape} and {second.shape}.")
    gap = (second - first) * np.sign(second[-1] - first[-1])
    within = np.flatnonzero(gap <= by)
    start = int(within[-1]) + 1 if len(within) else 0
    return start if start < len(first) else None
