"""When two curves part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from salign.checks import number
from salign.errors import SalignError


def departure(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], *, by: float) -> int | None:
    """Find the first place from which on two curves stay more than `by` apart, on whichever side.

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
    together = np.flatnonzero(np.abs(first - second) <= by)
    start = int(together[-1]) + 1 if len(together) else 0
    return start if start < len(first) else None
