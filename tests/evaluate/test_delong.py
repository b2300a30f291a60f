"""DeLong's test against all pairs of images one by one, its invariants, and the frequency of false alarms."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from references import comparison as slow
from salign.errors import SalignError
from salign.evaluate.delong import delong

pytestmark = pytest.mark.filterwarnings("error")


def sample(images: int, seed: int, *, ties: bool = False, gain: float = 0.5) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0, 0, 1, 1], rng.integers(0, 2, images - 4)])
    shared = labels + rng.normal(size=images)
    first, second = shared + gain * labels + rng.normal(size=images), shared + rng.normal(size=images)
    return labels, first.round() if ties else first, second.round() if ties else second


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("images", [6, 31, 150])
def test_equals_all_pairs_one_by_one(images: int, ties: bool) -> None:
    labels, first, second = sample(images, images, ties=ties)
    found = delong(labels, first, second, 0.9)
    assert found.auc_first == pytest.approx(roc_auc_score(labels, first))
    assert found.auc_second == pytest.approx(roc_auc_score(labels, second))
    error = math.sqrt(slow.delong_variance(labels, first, second))
    assert found.difference == pytest.approx(found.auc_first - found.auc_second)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.9, found.difference, error))
    assert found.p == pytest.approx(2 * stats.norm.cdf(-abs(found.difference) / error))


def test_two_images_of_each_kind_are_enough_and_one_is_not() -> None:
    labels, first, second = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9]), np.array([0.2, 0.7, 0.1, 0.8])
    found = delong(labels, first, second)
    error = math.sqrt(slow.delong_variance(labels, first, second))
    assert (found.auc_first, found.auc_second) == (0.75, 0.5)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, 0.25, error))
    assert all(math.isnan(one) for one in astuple(delong(labels[1:], first[1:], second[1:]))[3:])


def test_one_arm_is_compared_with_chance() -> None:
    labels, first, _ = sample(80, 0)
    found = delong(labels.astype(bool), first)
    assert astuple(found) == pytest.approx(astuple(delong(labels, first, np.zeros(80))))
    assert found.auc_second == 0.5
    assert found.low + 0.5 < found.auc_first < found.high + 0.5


def test_false_alarms_and_coverage_are_as_many_as_promised() -> None:
    rng, trials = np.random.default_rng(4), 400
    labels = np.repeat([0, 1], [60, 40])
    truth = float(stats.norm.cdf(1.0 / math.sqrt(2)) - stats.norm.cdf(0.5 / math.sqrt(2)))  # of normal scores
    alarms = hits = 0
    for _ in range(trials):
        noise = 0.8 * rng.normal(size=100) + 0.6 * rng.normal(size=(2, 100))  # correlated, with variance 1
        alarms += delong(labels, labels + noise[0], labels + noise[1]).p < 0.05
        found = delong(labels, labels + noise[0], 0.5 * labels + noise[1])
        hits += found.low <= truth <= found.high
    assert alarms / trials == pytest.approx(0.05, abs=0.022)
    assert hits / trials == pytest.approx(0.95, abs=0.022)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(-5, 5), st.integers(-5, 5)), min_size=4, max_size=30),
    st.randoms(use_true_random=False),
)
def test_only_the_order_of_scores_matters(rows: list, random) -> None:
    labels, first, second = np.array(rows).T
    found = delong(labels, first, second)
    random.shuffle(rows)
    shuffled = delong(*np.array(rows).T)
    assert astuple(shuffled) == pytest.approx(astuple(found), nan_ok=True)
    assert delong(labels, np.exp(first), 3.0 * second**3 - 1) == pytest.approx(found) or math.isnan(found.p)
    swapped = delong(labels, second, first)
    turned = (found.auc_second, found.auc_first, -found.difference, -found.high, -found.low, found.p)
    assert astuple(swapped) == pytest.approx(turned, nan_ok=True)
    reversed_ = delong(1 - labels, first, second)
    assert reversed_.difference == pytest.approx(-found.difference, nan_ok=True)
    assert reversed_.p == pytest.approx(found.p, nan_ok=True)


def test_no_variance_is_certainty() -> None:
    labels, first, _ = sample(40, 1)
    same = delong(labels, first, 2 * first)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    perfect = delong(labels, labels)
    assert astuple(perfect) == (1, 0.5, 0.5, 0.5, 0.5, 0)


def test_too_few_images_of_a_class_have_no_answer() -> None:
    assert all(math.isnan(value) for value in astuple(delong([1, 1, 1], [1, 2, 3], [3, 2, 1])))
    single = delong([1, 0, 0], [2, 1, 3], [3, 1, 2])
    assert (single.auc_first, single.auc_second, single.difference) == (0.5, 1, -0.5)
    assert [math.isnan(value) for value in (single.low, single.high, single.p)] == [True] * 3


@pytest.mark.parametrize(
    ("labels", "first", "second", "message"),
    [
        ([0, 1, 2], [1, 2, 3], None, "labels: expected True and False, or ones and zeros"),
        ([0, 1], [1, 2, 3], None, r"got \(2,\)"),
        ([0, 1], [1, 2], [1], r"\[\(2,\), \(1,\)\]"),
        ([0, 1], [1, math.nan], None, "not finite"),
    ],
)
def test_images_that_cannot_be_ranked_are_refused(labels, first, second, message: str) -> None:
    with pytest.raises(SalignError, match=message):
        delong(labels, first, second)
