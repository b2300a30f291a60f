"""When two curves part for good."""

from __future__ import annotations

import numpy as np
import pytest

from salign.errors import SalignError
from salign.evaluate.departure import departure

BASE = np.array([0.1, 0.3, 0.6, 0.8, 0.9])


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ([0.1, 0.3, 0.6, 0.8, 0.9], None),
        ([0.1, 0.3, 0.5, 0.7, 0.8], 2),
        ([0.1, 0.4, 0.6, 0.7, 0.8], 3),  # apart at 1, together again at 2
        ([0.5, 0.6, 0.8, 0.9, 1.0], 0),  # above is apart, too
        ([0.1, 0.0, 0.0, 0.0, 0.9], None),  # together at the end
        ([0.3, 0.5, 0.5, 0.7, 0.8], 2),  # above at first, and below for good
        ([0.1, 0.3, 0.58, 0.75, 0.8], 3),  # .02 apart is not more than .02
    ],
)
def test_only_what_lasts_counts(second: list[float], expected: int | None) -> None:
    assert departure(BASE, np.array(second), by=0.02 + 1e-9) == expected
    assert departure(np.array(second), BASE, by=0.02 + 1e-9) == expected


def test_curves_have_the_same_places() -> None:
    with pytest.raises(SalignError, match="two curves at the same places"):
        departure(BASE, BASE[:3], by=0.02)
    with pytest.raises(SalignError, match=r"P >= 1"):
        departure(BASE[:0], BASE[:0], by=0.02)
    with pytest.raises(SalignError, match="by"):
        departure(BASE, BASE, by=-1)
