"""The bootstrap against a loop over resamples, scipy, and known coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from salign.errors import SalignError
from salign.evaluate import accuracy, auroc, bootstrap_counts, percentile_interval


def test_strata_keep_their_size_and_the_seed_decides() -> None:
    strata = np.array(["a"] * 5 + ["b"] * 11 + ["c"])
    drawn = np.concatenate(list(bootstrap_counts(strata, 200, np.random.default_rng(1))))
    for name, size in (("a", 5), ("b", 11), ("c", 1)):
        assert (drawn[:, strata == name].sum(1) == size).all()
    again = np.concatenate(list(bootstrap_counts(strata, 200, np.random.default_rng(1))))
    other = np.concatenate(list(bootstrap_counts(strata, 200, np.random.default_rng(2))))
    assert (drawn == again).all()
    assert (drawn != other).any()
    # each image of a stratum of n is drawn once on average, with variance 1 - 1/n
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.25)
    assert drawn[:, 0].var() == pytest.approx(0.8, abs=0.25)


def test_many_images_come_in_blocks() -> None:
    blocks = [len(block) for block in bootstrap_counts(np.zeros(1_500_000), 3, np.random.default_rng(0))]
    assert blocks == [2, 1]


def test_interval_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.normal(size=300) + np.repeat([0.0, 1.0], 150), np.repeat([False, True], 150)
    drawn = np.concatenate(list(bootstrap_counts(positive, 4000, np.random.default_rng(1))))
    low, high = percentile_interval(auroc(scores, positive, drawn), 0.9)

    def area(negatives: np.ndarray, positives: np.ndarray) -> float:
        return float((positives[:, None] > negatives).mean() + (positives[:, None] == negatives).mean() / 2)

    expected = bootstrap(
        (scores[:150], scores[150:]), area, n_resamples=2000, method="percentile", confidence_level=0.9,
        vectorized=False, rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx(tuple(expected), abs=0.004)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        right = (rng.random(200) < 0.8).astype(int)
        drawn = np.concatenate(list(bootstrap_counts(np.zeros(200), 300, rng)))
        low, high = percentile_interval(accuracy(right, np.ones(200, int), drawn), 0.9)
        hits += low <= 0.8 <= high
    assert 0.84 < hits / 300 < 0.95


def test_arguments_without_meaning_are_refused() -> None:
    with pytest.raises(SalignError, match="confidence"):
        percentile_interval([1.0], 95)
    with pytest.raises(SalignError, match=r"strata: expected \(N,\) values, one per image"):
        next(bootstrap_counts([], 10, np.random.default_rng(0)))
