"""Krippendorff's alpha for nominal data by its definition: observed against expected disagreement of pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence


def alpha(units: Sequence[Sequence[Hashable]]) -> float:
    """`1 - Do / De`; Do: mean disagreement of pairable values within their units; De: of all pairs of values."""
    pairable = [list(values) for values in units if len(values) > 1]
    everything = [value for values in pairable for value in values]
    n = len(everything)
    if n == 0:
        return math.nan
    observed = 0.0
    for values in pairable:
        for first, second in itertools.permutations(range(len(values)), 2):
            observed += (values[first] != values[second]) / (len(values) - 1)
    observed /= n
    expected = sum(everything[a] != everything[b] for a, b in itertools.permutations(range(n), 2)) / (n * (n - 1))
    return 1 - observed / expected if expected else math.nan
