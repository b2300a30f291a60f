"""The confusion matrix and its rates are those of scikit-learn, and of a few answers counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from salign.errors import SalignError
from salign.evaluate.confusion import about_rate, confusion_matrix, rates, rates_by_class


def test_rates_of_ten_answers_counted_by_hand() -> None:
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
    called = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0], dtype=bool)  # 3 hits, 1 miss, 1 alarm, 5 passes
    assert rates(called, truth) == pytest.approx(
        {"sensitivity": 3 / 4, "specificity": 5 / 6, "ppv": 3 / 4, "npv": 5 / 6, "f1": 6 / 8}
    )


def test_rates_are_those_of_scikit_learn_for_any_weights() -> None:
    rng = np.random.default_rng(0)
    truth, called = rng.random((2, 60)) < 0.4
    weights = rng.integers(0, 3, (5, 60)).astype(float)
    found = rates(called, truth, weights)
    for r, counted in enumerate(weights):
        expected = {
            "sensitivity": metrics.recall_score(truth, called, sample_weight=counted),
            "specificity": metrics.recall_score(~truth, ~called, sample_weight=counted),
            "ppv": metrics.precision_score(truth, called, sample_weight=counted),
            "npv": metrics.precision_score(~truth, ~called, sample_weight=counted),
            "f1": metrics.f1_score(truth, called, sample_weight=counted),
        }
        assert {name: values[r] for name, values in found.items()} == pytest.approx(expected)


def test_a_rate_of_no_images_has_no_value_and_a_reason() -> None:
    never = rates(np.zeros(4, bool), np.array([True, False, False, False]))
    assert np.isnan(never["ppv"])
    assert never["npv"] == 0.75
    assert about_rate("ppv", "cat", 1, 0, 4) == (0, ["no image is called cat"])
    assert about_rate("npv", "cat", 1, 0, 4) == (4, [])
    assert np.isnan(rates(np.ones(3, bool), np.zeros(3, bool))["sensitivity"])
    assert np.isnan(rates(np.zeros(3, bool), np.zeros(3, bool))["f1"])
    assert about_rate("f1", "cat", 0, 0, 3) == (0, ["no image is of class cat, or called so"])


def test_the_confusion_matrix_has_true_classes_as_rows() -> None:
    labels, predicted = np.random.default_rng(1).integers(0, 4, (2, 50))
    matrix = confusion_matrix(labels, predicted, 5)
    assert matrix.tolist() == metrics.confusion_matrix(labels, predicted, labels=range(5)).tolist()
    assert confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 1]), 2).tolist() == [[0, 2], [0, 1]]


def test_macro_rates_are_means_over_the_classes_that_have_one() -> None:
    labels, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])  # class 2 is never called
    is_class, called = (numbers[:, None] == np.arange(3) for numbers in (labels, predicted))
    found = {
        name: float(value[0])
        for name, value in rates_by_class(called, is_class, ("a", "b", "c"), np.ones((1, 4))).items()
    }
    assert [found[f"sensitivity[{name}]"] for name in "abc"] == [0.5, 1, 0]
    assert found["sensitivity_macro"] == pytest.approx(metrics.recall_score(labels, predicted, average="macro"))
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert found["ppv_macro"] == pytest.approx((1 + 1 / 3) / 2)  # c has none


def test_what_is_no_yes_or_no_is_refused() -> None:
    with pytest.raises(SalignError, match="as many answers as labels"):
        rates(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(SalignError, match="called: expected True and False"):
        rates(np.array([0.2, 0.9]), np.ones(2, bool))
    with pytest.raises(SalignError, match="predicted: expected class numbers from 0 to 1"):
        confusion_matrix(np.array([0, 1]), np.array([0, 2]), 2)
