"""Figures of a classifier: pure functions on scores or probabilities and labels.

Every function takes numpy arrays (or CPU tensors) and optional bootstrap counts `weights (R, N)` (see `ranking`). It
returns one number, or `(R,)` numbers if weights are given. Scores, probabilities or labels that are not valid, or have
the wrong shape, raise a SalignError. A figure that is not defined for the images at hand, such as the AUROC of one
class, is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from salign.checks import function, number
from salign.errors import SalignError
from salign.evaluate.ranking import (
    Array,
    Ranking,
    class_numbers,
    counts,
    finite,
    match_weights,
    probabilities_in,
    ratio,
    yes_or_no,
)


def _right(predicted: ArrayLike, labels: ArrayLike) -> Array:
    answers = class_numbers(predicted, "predicted")
    return answers == class_numbers(labels, "labels", len(answers))


ECE_BINS = 15
"""Number of equal-width bins of the confidence, as in Guo et al. 2017."""


def auroc(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the area under the ROC curve (AUROC).

    It is the probability that a positive image scores higher than a negative one, where ties count half (Mann-Whitney
    U).

    Args:
        scores: `(N,)`: the softmax probability of the positive class, or its logit alone, by which the public CYBORG
            code ranks. The two differ in general, because the softmax also depends on the other logits.
        positive: `(N,)` bool.
        weights: `(R, N)` counts, or None.
    """
    return match_weights(auroc_of(Ranking.of(scores, positive, weights)), weights)


def auroc_of(ranking: Ranking) -> Array:
    """Return `(R,)` areas under the ROC curve from scores that are already sorted; see `auroc`."""
    won = (ranking.positives * (ranking.passed[:, :-1] + ranking.negatives / 2)).sum(1)
    return ratio(won, ranking.missed[:, -1] * ranking.passed[:, -1])


def average_precision(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the mean of the precision at each distinct score, weighted by the recall gained there.

    Nothing is interpolated. The result is NaN without positives, and also without negatives, because it would then be 1
    whatever the model says.
    """
    return match_weights(average_precision_of(Ranking.of(scores, positive, weights)), weights)


def average_precision_of(ranking: Ranking) -> Array:
    """Return `(R,)` average precisions from scores that are already sorted; see `average_precision`."""
    positives, negatives = ranking.missed[:, -1:], ranking.passed[:, -1:]
    hits = positives - ranking.missed[:, :-1]
    called = hits + negatives - ranking.passed[:, :-1]
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    gained = (ranking.positives * precision).sum(1)
    return ratio(gained, np.where(negatives > 0, positives, 0)[:, 0])


def accuracy(predicted: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the share of the `(N,)` images whose predicted class number is the label."""
    right = _right(predicted, labels)
    times = counts(weights, len(right))
    return match_weights(ratio(times @ right, times.sum(1)), weights)


def balanced_accuracy(predicted: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the mean recall of the classes that occur among the labels; NaN with fewer than two classes."""
    return match_weights(_recognised(predicted, labels, weights).mean(1), weights)


def worst_class_accuracy(predicted: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the lowest recall of the classes that occur among the labels; NaN with fewer than two classes.

    It is the worst-group accuracy of Sagawa et al. (arXiv 1911.08731), where the groups are the classes. The minimum of
    noisy recalls tends to be lower than the lowest true recall, the more so the fewer images a class has.
    """
    return match_weights(_recognised(predicted, labels, weights).min(1), weights)


def _recognised(predicted: ArrayLike, labels: ArrayLike, weights: ArrayLike | None) -> Array:
    """Return the `(R, K)` recalls of the classes that occur among the labels; one column of NaN for a single class."""
    truth, right = np.asarray(labels), _right(predicted, labels)
    times = counts(weights, len(right))
    members = truth[:, None] == np.unique(truth)
    if members.shape[1] < 2:
        return np.full((len(times), 1), np.nan)
    return ratio(times @ (members & right[:, None]), times @ members)


def brier(probabilities: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the Brier score: the mean squared error of the `(N,)` probabilities of the positive class (Brier 1950).

    It lies in [0, 1]; the truth is 0 or 1 for each image.
    """
    probability, truth = probabilities_in(probabilities, 1), yes_or_no(positive, "positive")
    if probability.shape != truth.shape:
        raise SalignError(f"expected (N,) probabilities and (N,) labels; got {probability.shape} and {truth.shape}")
    squared = (probability - truth) ** 2
    times = counts(weights, len(squared))
    return match_weights(ratio(times @ squared, times.sum(1)), weights)


def brier_macro(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the mean of `brier` over all K classes, each against the rest.

    This is the multi-class Brier score divided by K.
    """
    table = probabilities_in(probabilities, 2)
    truth = class_numbers(labels, "labels", *table.shape)
    squared = ((table - (truth[:, None] == np.arange(table.shape[1]))) ** 2).mean(1)
    times = counts(weights, len(table))
    return match_weights(ratio(times @ squared, times.sum(1)), weights)


def ece(
    probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, bins: int = ECE_BINS
) -> Array:
    """Compute the expected calibration error of the predicted class (Guo et al. 2017, eq. 3).

    It takes any number of classes. The confidence is the highest of the `(N, K)` probabilities. It falls into one of
    `bins` equal-width bins over [0, 1]; each bin is closed on the left, and the last one on both sides. The error is
    the mean of the bins' gaps |accuracy - mean confidence|, weighted by their numbers of images. Noise only adds to it,
    so that few images, and bootstrap resamples, give higher values than many images.
    """
    number("bins", bins, "[1, inf)", whole=True)
    table = probabilities_in(probabilities, 2)
    confidence, right = table.max(1), table.argmax(1) == class_numbers(labels, "labels", *table.shape)
    member = np.minimum((confidence * bins).astype(int), bins - 1)[:, None] == np.arange(bins)
    times = counts(weights, len(table))
    gaps = np.abs(times @ (member * (right - confidence)[:, None])).sum(1)
    return match_weights(ratio(gaps, times.sum(1)), weights)


def one_vs_rest(
    figure: Callable[..., Any], scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> Array:
    """Return the macro form of a two-class ranking figure: the plain mean of `figure(scores[:, k], labels == k)`.

    The mean is taken over the classes that occur among the labels; it is NaN if there are fewer than two.

    Args:
        figure: `auroc`, `average_precision` or `eer`, a function `(scores (N,), positive (N,), weights) -> values`.
        scores: `(N, K)`.
        labels: `(N,)` class numbers in [0, K).
        weights: `(R, N)` counts, or None.
    """
    function("figure", figure)
    table = finite(scores, "score")
    if table.ndim != 2:
        raise SalignError(f"expected (N, K) scores and (N,) labels; got {table.shape} and {np.shape(labels)}")
    truth = class_numbers(labels, "labels", *table.shape)
    present = np.unique(truth)
    if len(present) < 2:
        return match_weights(np.full(len(counts(weights, len(truth))), np.nan), weights)
    return np.mean([figure(table[:, k], truth == k, weights) for k in present], axis=0)
