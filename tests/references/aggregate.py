"""Aggregation pixel by pixel and person by person, in plain Python."""

from __future__ import annotations

from math import prod


def reference_pixel(method: str, votes: list[float]) -> float:
    if method == "union":
        return max(votes)
    if method == "mean":
        return sum(votes) / len(votes)
    assert method == "majority"
    return float(sum(vote >= 0.5 for vote in votes) > len(votes) / 2)


def reference_overlap(first: list[float], second: list[float]) -> float:
    whole = sum(first) + sum(second)
    return 2 * sum(map(min, first, second)) / whole if whole else 1.0


def reference_staple(
    decisions: list[list[int]], prior: float, rounds: int
) -> tuple[list[float], list[float], list[float]]:
    """Warfield, Zou and Wells 2004: products, not logarithms; every pixel by itself.

    Args:
        decisions: of each person, of each pixel.
        prior: that a pixel is salient.
        rounds: how many.

    Returns:
        Probability of each pixel, sensitivity and specificity of each person.
    """
    people, pixels = range(len(decisions)), range(len(decisions[0]))
    p = [0.99999 for _ in people]
    q = [0.99999 for _ in people]
    truth: list[float] = []
    for _ in range(rounds):
        truth = []
        for i in pixels:
            salient = prior * prod(p[j] if decisions[j][i] else 1 - p[j] for j in people)
            other = (1 - prior) * prod(1 - q[j] if decisions[j][i] else q[j] for j in people)
            truth.append(salient / (salient + other))
        p = [sum(truth[i] for i in pixels if decisions[j][i]) / sum(truth) for j in people]
        q = [sum(1 - truth[i] for i in pixels if not decisions[j][i]) / sum(1 - t for t in truth) for j in people]
    return truth, p, q
