"""Presentation attack detection figures of ISO/IEC 30107-3, on `(N,)` scores where higher = more likely an attack.

A presentation is called an attack if its score is >= the threshold. `attack (N,)` bool is the truth: True for attacks,
False for bona fide presentations. In any other two-class task, APCER is the miss rate of the positive class and BPCER
the false alarm rate. Weights, return values and errors are as in `classification`.
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
    """Return the attack presentation classification error rate (APCER) of each attack instrument species.

    It is the share of the species' presentations that are called bona fide, i.e. that score below `threshold` (ISO/IEC
    30107-3: 1 minus the mean of Res_i). Without `species`, all attacks are one species.
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
    """Return the APCER of the worst species, as the standard wants it reported; NaN without attacks."""
    rates = list(apcer_per_species(scores, attack, threshold, species, weights).values())
    if not rates:
        return match_weights(np.full(1 if weights is None else len(np.asarray(weights)), np.nan), weights)
    return np.max(rates, axis=0)


def bpcer(scores: ArrayLike, attack: ArrayLike, threshold: float, weights: ArrayLike | None = None) -> Array:
    """Return the bona fide presentation classification error rate (BPCER).

    It is the share of the bona fide presentations that score at or above `threshold`.
    """
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
    """Return the average classification error rate, (worst APCER + BPCER) / 2.

    The standard has withdrawn this figure, but it is still widely asked for.
    """
    return (apcer(scores, attack, threshold, species, weights) + bpcer(scores, attack, threshold, weights)) / 2


def bpcer_at_apcer(
    scores: ArrayLike,
    attack: ArrayLike,
    target: float,
    species: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Array:
    """Return the BPCER at the threshold where the worst species' APCER is `target` or less.

    The targets 0.1, 0.05 and 0.01 give BPCER10, BPCER20 and BPCER100. The operating point is the highest threshold
    whose worst APCER does not exceed `target`. It is found on these scores themselves, anew in each resample. Nothing
    is interpolated, and equal scores move together. The operating point always exists, because APCER is 0 at the lowest
    attack score. If a single attack is a larger share than `target`, the figure is taken at that lowest score, and
    `reached_apcer` shows it. The result is NaN without attacks or without bona fide presentations.
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
    """Return the worst APCER at the operating point of `bpcer_at_apcer`: `target`, or the nearest share below it."""
    threshold = float(_thresholds_at_apcer(finite(scores, "score"), attack, target, species, None)[0])
    return float(apcer(scores, attack, threshold, species))


def eer(scores: ArrayLike, attack: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the equal error rate: the mean of the two error rates at the threshold where they are nearest.

    All attacks count as one species. If several thresholds are equally near, the highest is taken. Nothing is
    interpolated.
    """
    return match_weights(eer_of(Ranking.of(scores, attack, weights)), weights)


def eer_of(ranking: Ranking) -> Array:
    """Return `(R,)` equal error rates from scores that are already sorted; see `eer`."""
    best = _nearest(ranking)
    row = np.arange(len(best))
    misses = ratio(ranking.missed[row, best], ranking.missed[:, -1])
    alarms = 1 - ratio(ranking.passed[row, best], ranking.passed[:, -1])
    return (misses + alarms) / 2


def threshold_at_eer(scores: ArrayLike, attack: ArrayLike) -> float:
    """Choose the threshold where the two error rates are nearest, half way to the next lower score.

    Raises:
        SalignError: there are no attacks or no bona fide presentations.
    """
    _both_kinds(attack)
    ranking = Ranking.of(scores, attack)
    return ranking.threshold(int(_nearest(ranking)[0]))


def threshold_at_apcer(scores: ArrayLike, attack: ArrayLike, target: float, species: ArrayLike | None = None) -> float:
    """Choose the highest threshold whose worst APCER is `target` or less, half way to the next lower score.

    Raises:
        SalignError: there are no attacks or no bona fide presentations, or `target` is not in [0, 1).
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
    """Return the positions of the attacks of each species, by its name and in the order of names."""
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
    """Return the `(R,)` highest thresholds whose worst APCER is `target` or less; NaN without attacks.

    For one species, this is its lowest score at which an attack may no longer be missed. The threshold is the lowest of
    these scores over the species.
    """
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
    """Return the `(R,)` index of the highest candidate threshold at which the two error rates are nearest."""
    positives, negatives = ranking.missed[:, -1:], ranking.passed[:, -1:]
    # Both rates are multiplied by positives * negatives. That gives whole numbers, so equal distances compare as equal.
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
