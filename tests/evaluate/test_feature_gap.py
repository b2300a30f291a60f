"""How far features of test images lie outside of those of training, against loops."""

from __future__ import annotations

import numpy as np
import pytest

from salign.errors import SalignError
from salign.evaluate.feature_gap import feature_gap


def test_the_gap_is_what_of_the_range_in_test_is_not_in_training() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(30, 3)), 2 * rng.normal(size=(20, 3))
    known, seen = rng.integers(0, 2, 30), rng.integers(0, 2, 20)
    expected = [0.0, 0.0]
    for k in (0, 1):
        for c in range(3):
            own = [row[c] for row, label in zip(train, known, strict=True) if label == k]
            new = [row[c] for row, label in zip(test, seen, strict=True) if label == k]
            expected[k] += max(0, max(new) - max(own)) + max(0, min(own) - min(new))
    gaps = feature_gap(train, known, test, seen, 3)
    np.testing.assert_allclose(gaps[:2], expected)
    assert min(expected) > 0
    assert np.isnan(gaps[2])
    assert feature_gap(train, known, train, known, 2).tolist() == [0, 0]


def test_a_gap_by_hand() -> None:
    gaps = feature_gap([[0.0, 5.0], [2.0, 6.0]], [0, 0], [[-1.0, 5.5], [4.0, 9.0]], [0, 0], 1)
    assert gaps.tolist() == [1 + 2 + 3]


def test_features_of_other_lengths_are_refused() -> None:
    with pytest.raises(SalignError, match=r"expected \(N, C\) and \(M, C\) features"):
        feature_gap(np.zeros((2, 3)), [0, 1], np.zeros((2, 4)), [0, 1], 2)
