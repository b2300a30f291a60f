"""Presentation attack detection figures of ISO/IEC 30107-3, on `(N,)` scores where higher = more likely an attack.

A presentation is called an attack when its score is >= the threshold. `attack (N,)` bool is the truth; the others are
bona fide. For any other two-class task APCER is the miss rate of the positive class and BPCER the false alarm rate.
Weights and return values are as in `classification`, and so is what is refused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from salign.checks import number
from salign.errors import SalignError
from salign.evaluate.ranking import Array, Ranking, counts, finite, match_weights, ratio, yes_or_no

ONE_SPECIES = "all attacks"


def apcer_per_species(
    scores: ArrayLike,
    attack: ArrayLike,
    threshold: float,
    species: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> dict[str, Array]:
    """Attack presentation classification error rate of each attack instrument species.

    Share of that species' presentations called bona fide, i.e. scoring below `threshold` (ISO/IEC 30107-3: 1 minus the
    mean of Res_i). Without `species` all attacks are one.
    """
    called = _called(scores, threshold)
    times = counts(weights, len(called))
    return {
        name: match_weights(ratio(times[:, members] @ ~called[members], times[:, members].sum(1)), weights)
        for name, members in _members(attack, species, len(called)).items()
    }


def apcer(
    scores: ArrayLike,
    attack: ArrayLike,
    threshold: float,
    species: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Array:
    """Take the worst species' APCER, as the standard wants it reported; NaN without attacks."""
    rates = list(apcer_per_species(scores, attack, threshold, species, weights).values())
    if not rates:
        return match_weights(np.full(1 if weights is None else len(np.asarray(weights)), np.nan), weights)
    return np.max(rates, axis=0)


def bpcer(scores: ArrayLike, attack: ArrayLike, threshold: float, weights: ArrayLike | None = None) -> Array:
    """Bona fide presentation classification error rate: share of the bona fide scoring at or above `threshold`."""
    called = _called(scores, threshold)
    genuine = ~_attacks(attack, len(called))
    times = counts(weights, len(called))[:, genuine]
    return match_weights(ratio(times @ called[genuine], times.sum(1)), weights)


def acer(
    scores: ArrayLike,
    attack: ArrayLike,
    threshold: float,
    species: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Array:
    """Average classification error rate: (worst APCER + BPCER) / 2. Withdrawn from the standard, still widely asked."""
    return (apcer(scores, attack, threshold, species, weights) + bpcer(scores, attack, threshold, weights)) / 2


def bpcer_at_apcer(
    scores: ArrayLike,
    attack: ArrayLike,
    target: float,
    species: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Array:
    """BPCER where the worst species' APCER is `target` or less: 0.1, 0.05, 0.01 give BPCER10, BPCER20, BPCER100.

    The operating point is the highest threshold whose worst APCER does not exceed `target`, found on these very
    scores (anew in each resample); nothing is interpolated and equal scores move together. It always exists, as APCER
    is 0 at the lowest attack score; where one attack is a larger share than `target`, that is where the figure is
    taken, and `reached_apcer` says so. NaN without attacks or without bona fide.
    """
    values = finite(scores, "score")
    genuine = ~_attacks(attack, len(values))
    thresholds = _thresholds_at_apcer(values, attack, target, species, weights)
    times = counts(weights, len(values))[:, genuine]
    order = np.argsort(values[genuine], kind="stable")
    below = np.zeros((len(times), len(order) + 1))
    np.cumsum(times[:, order], axis=1, out=below[:, 1:])
    position = np.searchsorted(values[genuine][order], thresholds, side="left")
    total = below[:, -1]
    called = total - below[np.arange(len(times)), position]
    return match_weights(np.where(np.isnan(thresholds), np.nan, ratio(called, total)), weights)


def reached_apcer(scores: ArrayLike, attack: ArrayLike, target: float, species: ArrayLike | None = None) -> float:
    """Give the worst APCER at the operating point of `bpcer_at_apcer`: `target` or the nearest share below it."""
    threshold = float(_thresholds_at_apcer(finite(scores, "score"), attack, target, species, None)[0])
    return float(apcer(scores, attack, threshold, species))


def eer(scores: ArrayLike, attack: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Equal error rate: mean of the two error rates at the threshold where they are nearest (all attacks as one kind).

    Of equally near thresholds the highest is taken. Nothing is interpolated.
    """
    return match_weights(eer_of(Ranking.of(scores, attack, weights)), weights)


def eer_of(ranking: Ranking) -> Array:
    """`(R,)` equal error rates from one sort; see `eer`."""
    best = _nearest(ranking)
    row = np.arange(len(best))
    misses = ratio(ranking.missed[row, best], ranking.missed[:, -1])
    alarms = 1 - ratio(ranking.passed[row, best], ranking.passed[:, -1])
    return (misses + alarms) / 2


def threshold_at_eer(scores: ArrayLike, attack: ArrayLike) -> float:
    """Choose the threshold where the error rates are nearest, half way to the next lower score.

    Raises:
        SalignError: there are no attacks or no bona fide.
    """
    _both_kinds(attack)
    ranking = Ranking.of(scores, attack)
    return ranking.threshold(int(_nearest(ranking)[0]))


def threshold_at_apcer(scores: ArrayLike, attack: ArrayLike, target: float, species: ArrayLike | None = None) -> float:
    """Choose the highest threshold whose worst APCER is `target` or less, half way to the next lower score.

    Raises:
        SalignError: there are no attacks or no bona fide, or `target` is not in [0, 1).
    """
    _both_kinds(attack)
    values = finite(scores, "score")
    ranking = Ranking.of(values, attack)
    edge = _thresholds_at_apcer(values, attack, target, species, None)[0]
    return ranking.threshold(int(np.searchsorted(ranking.scores, edge)))


def _called(scores: ArrayLike, threshold: float) -> Array:
    number("threshold", threshold, "(-inf, inf)")
    return finite(scores, "score") >= threshold


def _attacks(attack: ArrayLike, images: int) -> Array:
    truth = yes_or_no(attack, "attack")
    if truth.shape != (images,):
        raise SalignError(f"attack: expected ({images},), as many as scores, got {truth.shape}.")
    return truth


def _members(attack: ArrayLike, species: ArrayLike | None, images: int) -> dict[str, Array]:
    """Species name -> positions of its attacks, in order of name."""
    positions = np.flatnonzero(_attacks(attack, images))
    if species is None:
        return {ONE_SPECIES: positions} if len(positions) else {}
    if np.shape(species) != (images,):
        raise SalignError(f"species: expected ({images},), as many as scores, got {np.shape(species)}.")
    names = np.asarray(species).astype(str)[positions]
    return {str(name): positions[names == name] for name in np.unique(names)}


def _thresholds_at_apcer(
    values: Array, attack: ArrayLike, target: float, species: ArrayLike | None, weights: ArrayLike | None
) -> Array:
    """`(R,)`: the lowest over species of the first attack score that may not be missed; NaN without attacks."""
    number("target", target, "[0, 1)")
    times = counts(weights, len(values))
    lowest = np.full(len(times), np.nan)
    for members in _members(attack, species, len(values)).values():
        order = members[np.argsort(values[members], kind="stable")]
        let_through = np.cumsum(times[:, order], axis=1)
        allowed = target * let_through[:, -1:] + 1e-9  # 0.29 * 100 is 28.999999999999996
        first = np.argmax(let_through > allowed, axis=1)
        edges = np.where(let_through[:, -1] > 0, values[order][first], np.nan)
        lowest = np.fmin(lowest, edges)
    return lowest


def _nearest(ranking: Ranking) -> Array:
    """`(R,)` index of the highest candidate threshold where the two error rates are nearest."""
    positives, negatives = ranking.missed[:, -1:], ranking.passed[:, -1:]
    # Both rates times positives * negatives: whole numbers, so that equal distances compare as equal.
    distance = np.abs(ranking.missed * negatives - (negatives - ranking.passed) * positives)
    return distance.shape[1] - 1 - np.argmin(distance[:, ::-1], axis=1)


def _both_kinds(attack: ArrayLike) -> None:
    truth = yes_or_no(attack, "attack")
    if truth.all() or not truth.any():
        positives = int(truth.sum())
        raise SalignError(
            f"a threshold needs images of both kinds; got {positives} positive and {truth.size - positives} negative."
            " Choose it on a validation split that holds both classes."
        )
