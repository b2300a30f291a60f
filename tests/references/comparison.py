"""Comparisons of two arms as plain loops: over pairs, flips, images and family members."""

from __future__ import annotations

from itertools import product
from statistics import mean, variance


def sign_flip(differences) -> float:
    """Share of the 2^n ways to give signs whose mean lies at least as far from zero."""
    observed = abs(mean(differences))
    extreme = 0
    for signs in product((-1, 1), repeat=len(differences)):
        extreme += abs(mean(s * d for s, d in zip(signs, differences, strict=True))) >= observed - 1e-12
    return extreme / 2 ** len(differences)


def improvement(first, second) -> float:
    return mean(1.0 if a > b else 0.5 if a == b else 0.0 for a in first for b in second)


def holm_rejects(p_values, level) -> list[bool]:
    """Holm's procedure at one level, as Holm wrote it: stop at the first that is too large."""
    out = [False] * len(p_values)
    for k, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[place] > level / (len(p_values) - k):
            break
        out[place] = True
    return out


def delong_variance(labels, first, second) -> float:
    """Variance of the difference of areas, all pairs of images compared one by one."""

    def wins(a, b) -> float:
        return 1.0 if a > b else 0.5 if a == b else 0.0

    positives = [i for i, label in enumerate(labels) if label]
    negatives = [i for i, label in enumerate(labels) if not label]
    by_positive = [mean(wins(first[i], first[j]) - wins(second[i], second[j]) for j in negatives) for i in positives]
    by_negative = [mean(wins(first[i], first[j]) - wins(second[i], second[j]) for i in positives) for j in negatives]
    return variance(by_positive) / len(positives) + variance(by_negative) / len(negatives)
