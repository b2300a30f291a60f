"""DeLong's test, which compares the areas under two ROC curves over the same images without resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from salign.errors import SalignError
from salign.evaluate.ranking import Array, finite, yes_or_no
from salign.evaluate.statistics import upper_tail


@dataclass(frozen=True)
class DeLong:
    """The comparison of two areas over the same images.

    The interval and p allow for other images, not for other runs of the same recipe. All fields are NaN if a class has
    no image. If a class has only one image, the interval and p are NaN. If the variance is zero (the same ranking
    twice, or two perfect rankings), the interval has no width, and p is 1 if the difference is zero, else 0.
    """

    auc_first: float
    """Area of the first scores, in [0, 1]."""
    auc_second: float
    """Area of the second scores, in [0, 1]; 0.5 (chance) if there were none."""
    difference: float
    """`auc_first - auc_second`."""
    low: float
    """Lower end of the normal interval of the difference, which is not cut at -1 and 1.

    If there is no second arm, add 0.5 to both ends to get the interval of the area.
    """
    high: float
    """Upper end of the interval."""
    p: float
    """p value of the two-sided test of no difference."""


def delong(labels: ArrayLike, first: ArrayLike, second: ArrayLike | None = None, confidence: float = 0.95) -> DeLong:
    """Compare two areas under the ROC curve (DeLong, DeLong and Clarke-Pearson, Biometrics 1988).

    With m positive and n negative images, each positive wins against a share of the negatives, and each negative loses
    to a share of the positives. For each image, these shares of the two arms have a difference. The variance of the
    difference of areas is the variance of these differences over the positives, divided by m, plus their variance over
    the negatives, divided by n. This is DeLong's covariance for the contrast (1, -1). Mid-ranks give the shares in time
    N log N (Sun and Xu, IEEE Signal Processing Letters 2014).

    Args:
        labels: `(N,)` 0 or 1, or bool; images with label 1 should score higher.
        first: `(N,)` finite scores, any scale.
        second: `(N,)` scores of the other arm for the same images; None compares the first arm with chance, 0.5.
        confidence: level of the interval, in (0, 1).

    Raises:
        SalignError: labels other than 0 and 1, a score that is not finite, or lengths that differ.
    """
    reach = float(stats.norm.ppf(upper_tail(confidence)))
    truth, arms = np.asarray(labels), [finite(first, "score")]
    if second is not None:
        arms.append(finite(second, "score"))
    if truth.ndim != 1 or any(scores.shape != truth.shape for scores in arms):
        shapes = [scores.shape for scores in arms]
        raise SalignError(f"expected (N,) labels and (N,) scores per arm; got {truth.shape} and {shapes}")
    positive = yes_or_no(truth, "labels")
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return DeLong(*[math.nan] * 6)
    wins = [_wins(scores, positive) for scores in arms]
    areas = [float(won.sum()) / (m * n) for won, _ in wins]
    if second is None:
        areas.append(0.5)
        wins.append((np.zeros(m), np.zeros(n)))
    difference = areas[0] - areas[1]
    if min(m, n) < 2:
        return DeLong(areas[0], areas[1], difference, *[math.nan] * 3)
    won, lost = wins[0][0] - wins[1][0], wins[0][1] - wins[1][1]
    error = math.sqrt(float(won.var(ddof=1)) / (m * n**2) + float(lost.var(ddof=1)) / (n * m**2))
    p = 2 * float(stats.norm.sf(abs(difference) / error)) if error else float(difference == 0)
    return DeLong(areas[0], areas[1], difference, difference - reach * error, difference + reach * error, p)


def _wins(scores: Array, positive: Array) -> tuple[Array, Array]:
    """Count the negatives that each positive outranks, `(m,)`, and the positives that outrank each negative, `(n,)`.

    Ties count half. The results are counts and not shares, because halves are exact in floating point, so that equal
    rankings have a variance of exactly zero.
    """
    ranks = stats.rankdata(scores)
    lower = ranks[positive] - stats.rankdata(scores[positive])
    higher = positive.sum() - (ranks[~positive] - stats.rankdata(scores[~positive]))
    return lower, higher
