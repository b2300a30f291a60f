"""Curves of a classifier as points: ROC, precision and recall, calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from salign.checks import number
from salign.evaluate.classification import ECE_BINS
from salign.evaluate.ranking import Array, Ranking, class_numbers, probabilities_in, ratio


class Points(NamedTuple):
    """A curve as points."""

    x: Array
    """`(P,)` horizontal positions."""
    y: Array
    """`(P,)` vertical positions."""


def roc_curve(scores: ArrayLike, positive: ArrayLike) -> Points:
    """Return the false positive rate (x) and the sensitivity (y) at every threshold, from the highest to the lowest.

    The area below the curve is `auroc`. Points on a straight line are kept. Without negative images x is NaN, and
    without positive images y is NaN.

    Args:
        scores: `(N,)` finite, higher = more positive.
        positive: `(N,)` bool.
    """
    ranking = Ranking.of(scores, positive)
    missed, passed = ranking.missed[0, ::-1], ranking.passed[0, ::-1]
    return Points(1 - ratio(passed, passed.max()), 1 - ratio(missed, missed.max()))


def precision_recall_curve(scores: ArrayLike, positive: ArrayLike) -> Points:
    """Return recall (x) and precision (y) at every threshold that calls an image positive, from highest to lowest.

    `average_precision` is the sum of the precisions, each times the recall gained there. Without positive images the
    recall is NaN.

    Args:
        scores: `(N,)` finite, higher = more positive.
        positive: `(N,)` bool.
    """
    ranking = Ranking.of(scores, positive)
    missed, passed = ranking.missed[0, -2::-1], ranking.passed[0, -2::-1]
    hits, alarms = ranking.missed.max() - missed, ranking.passed.max() - passed
    return Points(ratio(hits, ranking.missed.max()), ratio(hits, hits + alarms))


class Calibration(NamedTuple):
    """Confidence and accuracy of the answers, for the bins of the confidence that hold images."""

    confidence: Array
    """`(B,)`: mean highest probability of the images in each bin."""
    accuracy: Array
    """`(B,)`: share of the images in each bin that are answered right."""
    images: Array
    """`(B,)`: number of images in each bin."""


def calibration_curve(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = ECE_BINS) -> Calibration:
    """Return the accuracy by confidence; `ece` is the mean distance between the two, weighted by images.

    Args:
        probabilities: `(N, K)`.
        labels: `(N,)` class numbers.
        bins: number of equal-width bins of the confidence over [0, 1], as in `ece`; empty bins are left out.
    """
    number("bins", bins, "[1, inf)", whole=True)
    table = probabilities_in(probabilities, 2)
    confidence, right = table.max(1), table.argmax(1) == class_numbers(labels, "labels", *table.shape)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    images, sure, hits = (np.bincount(bin_of, weights=w, minlength=bins) for w in (None, confidence, right))
    filled = images > 0
    return Calibration(sure[filled] / images[filled], hits[filled] / images[filled], images[filled])
