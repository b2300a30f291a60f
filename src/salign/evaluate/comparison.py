"""Is one arm better than another? Paired comparisons over seeds, and over seeds and test images.

An arm is one way to train, run once per seed. Two arms are paired by seed: two runs with the same seed start from the
same weights, where these can be the same, and see the data in the same order. Chance that affects both runs then
cancels out in their difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from salign.checks import function, number, numbers
from salign.errors import SalignError
from salign.evaluate.ranking import Array
from salign.evaluate.statistics import bootstrap_counts, percentile_interval, upper_tail

FLIPS = 2**14
"""Number of random flips in a sign-flip test of more than 14 pairs; for n <= 14 pairs the test tries all 2^n flips."""


@dataclass(frozen=True)
class Comparison:
    """The comparison of two arms over the same seeds, in the unit of the compared figure.

    With a single pair of runs, all fields that need more pairs are NaN. If all differences are equal, the intervals
    have no width. The paired t test then gives 1 if the differences are 0; otherwise it gives its limit, 0, and
    `effect` is infinite. Welch's test gives the same if neither arm varies.
    """

    n: int
    """Number of pairs of runs."""
    first: float
    """Mean of the first arm."""
    second: float
    """Mean of the second arm."""
    difference: float
    """Mean of the paired differences, first - second."""
    low: float
    """Lower end of the paired t interval of the difference. Report this interval: it allows for few seeds."""
    high: float
    """Upper end of the paired t interval."""
    boot_low: float
    """Lower end of the percentile bootstrap interval over seeds.

    This interval assumes no normal distribution, but is too narrow with few seeds.
    """
    boot_high: float
    """Upper end of the percentile bootstrap interval."""
    sd: float
    """Standard deviation of the paired differences, with n - 1 in the denominator."""
    effect: float
    """Effect size d_z = difference / sd.

    The sd is that of the paired differences, so d_z is larger than Cohen's d where pairing removes noise.
    """
    welch_p: float
    """p value of Welch's t test, which ignores the pairing. All tests here are two-sided."""
    paired_t_p: float
    """p value of Student's t test of the paired differences."""
    wilcoxon_p: float
    """p value of Wilcoxon's signed-rank test, at least 2^(1 - n). Pairs without a difference are left out."""
    permutation_p: float
    """p value of the sign-flip test of the mean difference, at least 2^(1 - n).

    The test tries all flips up to 14 pairs, and random flips above.
    """
    improvement: float
    """P(first > second) over all n^2 pairs of runs, where ties count half (Agarwal et al., NeurIPS 2021)."""


def compare(
    first: ArrayLike,
    second: ArrayLike,
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Comparison:
    """Compare two arms by one figure per run.

    Differences below about 1e-13 of the largest value are treated as rounding errors, so that .82 - .80 ties with
    .72 - .70.

    Args:
        first: `(S,)` finite figures of one arm, in any unit.
        second: `(S,)` figures of the other arm, from the same seeds in the same order.
        generator: source of randomness of the bootstrap, and of the sign-flip test above 14 pairs.
        confidence: level of both intervals, in (0, 1).
        resamples: number of bootstrap resamples.

    Raises:
        SalignError: the arms are not two equally long rows of finite figures, or `confidence` is not in (0, 1).
    """
    tail = upper_tail(confidence)
    ours, theirs = numbers("first", first), numbers("second", second)
    if ours.ndim != 1 or ours.shape != theirs.shape or not len(ours):
        raise SalignError(f"expected two arms (S,), one figure per seed, S >= 1; got {ours.shape} and {theirs.shape}")
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise SalignError("an arm holds a figure that is not finite; leave that seed out of both arms, and say so")
    unit = np.ldexp(1.0, int(np.frexp(max(np.abs(ours).max(), np.abs(theirs).max()))[1]) - 44)
    n, means = len(ours), (float(ours.mean()), float(theirs.mean()))
    differences, ours, theirs = (np.round(values / unit) * unit for values in (ours - theirs, ours, theirs))
    mean = float(differences.mean())
    improvement = float(((ours[:, None] > theirs) + (ours[:, None] == theirs) / 2).mean())
    if n == 1:
        return Comparison(n, *[*means, mean, *[math.nan] * 10, improvement])
    sd, spreads = float(differences.std(ddof=1)), (float(ours.std(ddof=1)), float(theirs.std(ddof=1)))
    reach = float(stats.t.ppf(tail, n - 1)) * sd / math.sqrt(n)
    draws = [times @ differences / n for times in bootstrap_counts(np.zeros(n), resamples, generator)]
    boot_low, boot_high = percentile_interval(np.concatenate(draws), confidence)
    limit = float(mean == 0)

    def total(signed: Array, axis: int) -> Array:  # rounded, so that sums equal on paper are equal here
        return np.round(signed.sum(axis=axis) / (unit * 2**14))

    flips = stats.permutation_test((differences,), total, permutation_type="samples", n_resamples=FLIPS, rng=generator)
    welch = stats.ttest_ind_from_stats(means[0], spreads[0], n, means[1], spreads[1], n, equal_var=False)
    return Comparison(
        n=n,
        first=means[0],
        second=means[1],
        difference=mean,
        low=mean - reach,
        high=mean + reach,
        boot_low=boot_low,
        boot_high=boot_high,
        sd=sd,
        effect=mean / sd if sd else 0.0 if mean == 0 else math.copysign(math.inf, mean),
        welch_p=float(welch.pvalue) if any(spreads) else limit,
        paired_t_p=float(stats.ttest_1samp(differences, 0).pvalue) if sd else limit,
        wilcoxon_p=_signed_rank(differences),
        permutation_p=float(flips.pvalue),
        improvement=improvement,
    )


def _signed_rank(differences: Array) -> float:
    """Return the p value of Wilcoxon's signed-rank test.

    For 2 to 14 differences that are not 0, all sign flips are tried at once. This is exact, with and without ties, and
    a hundred times faster than scipy's test with ties.
    """
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 1.0
    if len(nonzero) < 2 or 2 ** len(nonzero) > FLIPS:
        return float(stats.wilcoxon(differences).pvalue)
    ranks = np.sign(nonzero) * stats.rankdata(np.abs(nonzero))  # multiples of one half, so that sums are exact
    test = stats.permutation_test((ranks,), np.sum, permutation_type="samples", vectorized=True, n_resamples=FLIPS)
    return float(test.pvalue)


def compare_images(
    first: ArrayLike,
    second: ArrayLike,
    labels: ArrayLike,
    statistic: Callable[[Array, Array, Array], Array],
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> tuple[float, float]:
    """Bootstrap seeds and test images together, to get the interval for other runs on other images of the same mix.

    Each resample draws seeds with replacement, and images with replacement within each label. All runs of both arms use
    the same drawn images, and a drawn seed counts in both arms. With one seed, the interval covers the choice of images
    alone. With few seeds it is too narrow, as all bootstraps are: read it beside the t interval of `compare`.

    Args:
        first: `(S, N)`, one value per run and image, or `(S, N, K)`, as `statistic` takes them.
        second: the values of the other arm, from the same seeds and images in the same order.
        labels: `(N,)` labels, which are passed to `statistic`. Each label keeps its number of images.
        statistic: `(values (N,), labels (N,), counts (R, N)) -> (R,)`; each image counts as often as it was drawn. The
            figures of `salign.evaluate` have this form: `accuracy` for predicted class numbers, `auroc` for scores and
            labels 0/1, `functools.partial(one_vs_rest, auroc)` for `(N, K)` scores.
        generator: source of randomness.
        confidence: level of the interval, in (0, 1).
        resamples: number of bootstrap resamples.

    Returns:
        Percentile interval of the mean difference, first - second.

    Raises:
        SalignError: the shapes do not fit, or the statistic refuses the values or labels.
    """
    function("statistic", statistic)
    ours, theirs, truth = np.asarray(first), np.asarray(second), np.asarray(labels)
    if ours.ndim < 2 or ours.shape != theirs.shape or not len(ours) or truth.shape != ours.shape[1:2]:
        raise SalignError(
            f"expected two arms (S, N) and labels (N,), S >= 1; got {ours.shape}, {theirs.shape} and {truth.shape}"
        )
    seeds = np.concatenate(list(bootstrap_counts(np.zeros(len(ours)), resamples, generator))) / len(ours)
    differences: list[Array] = []
    for times in bootstrap_counts(truth, resamples, generator):
        per_seed = [statistic(a, truth, times) - statistic(b, truth, times) for a, b in zip(ours, theirs, strict=True)]
        start = sum(map(len, differences))
        differences.append((seeds[start : start + len(times)] * np.stack(per_seed, axis=1)).sum(1))
    return percentile_interval(np.concatenate(differences), confidence)


def holm(p_values: ArrayLike) -> Array:
    """Adjust a family of `(M,)` p values so that the chance of any false alarm stays within the level (Holm 1979).

    The k-th smallest of m p values is multiplied by m - k + 1. An adjusted value is at least as large as that of any
    smaller p value, and at most 1. NaN stays NaN and does not count in m.

    Raises:
        SalignError: a value is outside [0, 1].
    """
    values = numbers("p_values", p_values)
    if values.ndim != 1 or ((values < 0) | (values > 1)).any():
        raise SalignError(f"expected (M,) p values in [0, 1]; got {values.tolist()}")
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def seeds_needed(sd_of_differences: float, half_width: float, confidence: float = 0.95) -> int:
    """Return the number of seeds at which the paired t interval reaches no further than `half_width` to either side.

    It is the smallest n >= 2 with t_{n-1} sd / sqrt(n) <= half_width. The sd is taken as known. An sd that was
    estimated from few pilot seeds may be far off, and then the width of the interval will be, too.

    Raises:
        SalignError: the sd is negative or not finite, the half width is not above 0, or `confidence` is not in (0, 1).
    """
    tail = upper_tail(confidence)
    number("sd_of_differences", sd_of_differences, "[0, inf)")
    number("half_width", half_width, "(0, inf)")
    relative = sd_of_differences / half_width
    n = max(2, math.floor((stats.norm.ppf(tail) * relative) ** 2))  # never too many, because the t interval is wider
    while stats.t.ppf(tail, float(n - 1)) * relative > math.sqrt(n):
        n += 1
    return n


def describe(comparison: Comparison, metric: str, points: bool = True) -> str:
    """Describe a comparison in one line, such as `accuracy +22.4 points [+4.0, +40.9], 10 seeds: above zero`.

    Args:
        comparison: the result of `compare`.
        metric: name of the figure, with which the line begins.
        points: whether the figure is a share, which is shown in hundredths (points) with one decimal. Any other figure
            is shown in its own unit with three decimals.
    """

    def format_value(value: float) -> str:
        return f"{100 * value:+z.1f}" if points else f"{value:+z.3f}"

    text = f"{metric} {format_value(comparison.difference)}{' points' if points else ''}"
    if comparison.n == 1:
        return f"{text}, 1 seed: nothing can be said about chance"
    if comparison.low == comparison.high:
        verdict = "the same in every seed"
    elif comparison.low > 0:
        verdict = "above zero"
    else:
        verdict = "below zero" if comparison.high < 0 else "not told from zero"
    return f"{text} [{format_value(comparison.low)}, {format_value(comparison.high)}], {comparison.n} seeds: {verdict}"
