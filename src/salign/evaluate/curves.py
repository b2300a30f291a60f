"""Curves of a classifier as points: ROC, precision and recall, calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from salign.checks import number
from salign.evaluate.classification import ECE_BINS
from salign.evaluate.ranking import Array, Ranking, class_numbers, probabilities_in, ratio


class Points(NamedTuple):
    """A curve."""

    x: Array
    """`(P,)`."""
    y: Array
    """`(P,)`."""


def roc_curve(scores: ArrayLike, positive: ArrayLike) -> Points:
    """False positive rate and sensitivity at every threshold, from the highest to the lowest.

    The area below it is `auroc`; points on a straight line are left in. Without images of one kind the rates are NaN.

    Args:
        scores: `(N,)` finite, higher = more positive.
        positive: `(N,)` bool.
    """
    ranking = Ranking.of(scores, positive)
    missed, passed = ranking.missed[0, ::-1], ranking.passed[0, ::-1]
    return Points(1 - ratio(passed, passed.max()), 1 - ratio(missed, missed.max()))


def precision_recall_curve(scores: ArrayLike, positive: ArrayLike) -> Points:
    """Recall and precision at every threshold that calls an image positive, from the highest to the lowest.

    `average_precision` is the sum of the precisions, each times the recall gained there. NaN without positive images.

    Args:
        scores: `(N,)` finite, higher = more positive.
        positive: `(N,)` bool.
    """
    ranking = Ranking.of(scores, positive)
    missed, passed = ranking.missed[0, -2::-1], ranking.passed[0, -2::-1]
    hits, alarms = ranking.missed.max() - missed, ranking.passed.max() - passed
    return Points(ratio(hits, ranking.missed.max()), ratio(hits, hits + alarms))


class Calibration(NamedTuple):
    """What was answered with which confidence, in bins that hold images."""

    confidence: Array
    """`(B,)`: mean highest probability of the images in a bin."""
    accuracy: Array
    """`(B,)`: share of them that are right."""
    images: Array
    """`(B,)`: how many there are."""


def calibration_curve(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = ECE_BINS) -> Calibration:
    """Accuracy by confidence; `ece` is the mean distance of the two, weighted by images.

    Args:
        probabilities: `(N, K)`.
        labels: `(N,)` class numbers.
        bins: equal-width bins of the confidence over [0, 1], as in `ece`; empty ones are left out.
    """
    number("bins", bins, "[1, inf)", whole=True)
    table = probabilities_in(probabilities, 2)
    confidence, right = table.max(1), table.argmax(1) == class_numbers(labels, "labels", *table.shape)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    images, sure, hits = (np.bincount(bin_of, weights=w, minlength=bins) for w in (None, confidence, right))
    filled = images > 0
    return Calibration(sure[filled] / images[filled], hits[filled] / images[filled], images[filled])
