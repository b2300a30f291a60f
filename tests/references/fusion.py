"""Knowledge fusion by loops over images and epochs, as the paper's text has it."""

from __future__ import annotations


def right(probabilities, label):
    """Whether the most probable class is the label; the first of equals counts."""
    best = 0
    for k, value in enumerate(probabilities):
        if value > probabilities[best]:
            best = k
    return best == label


def mixed(one, other, eps):
    """`eps` of one list of rows and the rest of the other."""
    return [[eps * a + (1 - eps) * b for a, b in zip(x, y, strict=True)] for x, y in zip(one, other, strict=True)]


def fuse(epochs, labels, window, grid):
    """Weights of the epochs, as exact as the numbers given (fractions stay fractions)."""
    count, images = len(epochs), range(len(labels))
    fused, weights = epochs[-1], [0] * (count - 1) + [1]
    while True:
        wrong = [i for i in images if not right(fused[i], labels[i])]
        if not wrong:
            return weights
        gains = [sum(right(epoch[i], labels[i]) for i in wrong) for epoch in epochs]
        chosen = gains.index(max(gains))
        near = [e for e in range(count) if abs(e - chosen) <= window]
        mean = [[sum(epochs[e][i][k] for e in near) / len(near) for k in range(len(fused[i]))] for i in images]
        scores = []
        for eps in grid:
            trial = mixed(mean, fused, eps)
            scores.append(sum(right(trial[i], labels[i]) for i in images))
        if max(scores) <= len(labels) - len(wrong):
            return weights
        eps = grid[scores.index(max(scores))]
        fused = mixed(mean, fused, eps)
        weights = [(1 - eps) * w + (eps / len(near) if e in near else 0) for e, w in enumerate(weights)]
