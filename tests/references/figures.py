"""The figures of `salign.evaluate` as plain loops over images and thresholds."""

from __future__ import annotations

import math


def ece(probabilities, labels, bins: int = 15) -> float:
    gap = 0.0
    for b in range(bins):
        inside = []
        for row, label in zip(probabilities, labels, strict=True):
            confidence = max(row)
            if int(confidence * bins) == b or (b == bins - 1 and confidence == 1):
                inside.append((confidence, list(row).index(confidence) == label))
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            confidence = sum(value for value, _ in inside) / len(inside)
            gap += len(inside) / len(labels) * abs(accuracy - confidence)
    return gap


def error_rates(scores, attack, species, threshold) -> tuple[float, float]:
    """Worst APCER over species, and BPCER."""
    worst = 0.0
    for name in {s for s, a in zip(species, attack, strict=True) if a}:
        own = [score for score, a, s in zip(scores, attack, species, strict=True) if a and s == name]
        worst = max(worst, sum(score < threshold for score in own) / len(own))
    genuine = [score for score, a in zip(scores, attack, strict=True) if not a]
    return worst, sum(score >= threshold for score in genuine) / len(genuine)


def bpcer_at_apcer(scores, attack, species, target) -> float:
    """The lowest BPCER over all thresholds whose worst APCER is allowed."""
    best = 1.0
    for threshold in [*scores, math.inf]:
        missed, alarms = error_rates(scores, attack, species, threshold)
        if missed <= target + 1e-12:
            best = min(best, alarms)
    return best


def eer(scores, attack) -> float:
    """Mean of the rates at the threshold where they are nearest, the highest of equally near ones."""
    best, found = math.inf, math.nan
    for threshold in sorted({*scores, math.inf}, reverse=True):
        missed, alarms = error_rates(scores, attack, ["all"] * len(scores), threshold)
        if abs(missed - alarms) < best - 1e-12:
            best, found = abs(missed - alarms), (missed + alarms) / 2
    return found
