"""Curves have the points of scikit-learn, and the areas and errors that the figures report."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from salign.evaluate import average_precision, ece
from salign.evaluate.curves import calibration_curve, precision_recall_curve, roc_curve


@pytest.fixture(params=[0, 1, 2])
def scored(request):
    rng = np.random.default_rng(request.param)
    positive = rng.random(80) < 0.3
    return (rng.normal(size=80) + positive).round(1), positive  # rounded: equal scores move together


def test_the_roc_curve_is_that_of_scikit_learn(scored) -> None:
    scores, positive = scored
    false_positives, sensitivity, _ = metrics.roc_curve(positive, scores, drop_intermediate=False)
    points = roc_curve(scores, positive)
    np.testing.assert_allclose(points.x, false_positives)
    np.testing.assert_allclose(points.y, sensitivity)


def test_precision_and_recall_are_those_of_scikit_learn(scored) -> None:
    scores, positive = scored
    precision, recall, _ = metrics.precision_recall_curve(positive, scores)
    points = precision_recall_curve(scores, positive)
    np.testing.assert_allclose(points.x, recall[:-1][::-1])  # its last point, recall 0, belongs to no threshold
    np.testing.assert_allclose(points.y, precision[:-1][::-1])
    area = points.y @ np.diff(points.x, prepend=0)
    assert area == pytest.approx(float(average_precision(scores, positive)))


def test_calibration_counted_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.94, 0.06], [0.55, 0.45]])
    curve = calibration_curve(probabilities, np.array([0, 0, 0, 1]), bins=5)
    assert curve.images.tolist() == [1, 3]  # .4 to .6, and .8 to 1
    np.testing.assert_allclose(curve.confidence, [0.55, (0.9 + 0.9 + 0.94) / 3])
    np.testing.assert_allclose(curve.accuracy, [0, 2 / 3])


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_mean_gap_of_the_calibration_curve_is_the_ece(bins) -> None:
    rng = np.random.default_rng(3)
    probabilities, labels = rng.dirichlet(np.ones(3), 90), rng.integers(0, 3, 90)
    curve = calibration_curve(probabilities, labels, bins=bins)
    gaps = curve.images @ np.abs(curve.accuracy - curve.confidence) / 90
    assert gaps == pytest.approx(float(ece(probabilities, labels, bins=bins)))


def test_without_one_kind_of_images_there_is_no_curve() -> None:
    assert np.isnan(roc_curve(np.arange(3.0), np.ones(3, bool)).x).all()
    assert np.isnan(precision_recall_curve(np.arange(3.0), np.zeros(3, bool)).x).all()
