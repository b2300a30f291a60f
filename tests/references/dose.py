"""The weight of a dose, step by step, with lists and loops."""

from __future__ import annotations

import math

import numpy as np


def norm(gradients: list[np.ndarray]) -> float:
    total = 0.0
    for gradient in gradients:
        for value in gradient.ravel():
            total += float(value) ** 2
    return math.sqrt(total)


def gradient_of_cross_entropy(features: np.ndarray, weight: np.ndarray, labels: list[int]) -> np.ndarray:
    """`(B, C, h, w)` features under a linear head `(K, C)` on the spatial mean -> the gradient, a mean over images."""
    batch, channels, height, width = features.shape
    gradient = np.zeros_like(features)
    for i in range(batch):
        logits = [sum(weight[k, c] * features[i, c].mean() for c in range(channels)) for k in range(len(weight))]
        total = sum(math.exp(logit) for logit in logits)
        for k, logit in enumerate(logits):
            error = math.exp(logit) / total - (k == labels[i])
            for c in range(channels):
                gradient[i, c] += error * weight[k, c] / (height * width * batch)
    return gradient


def weights(dose: float, norms: list[tuple[float, float]], memory: float = 0.99) -> list[float]:
    """The weight after each step, whose norms are (cross-entropy's, the term's)."""
    found: list[float] = []
    means, seen = [0.0, 0.0], 0
    for pair in norms:
        if pair[1] > 0:
            stays = min(memory, seen / (seen + 1))
            means = [stays * mean + (1 - stays) * value for mean, value in zip(means, pair, strict=True)]
            seen += 1
        found.append(dose * means[0] / means[1] if means[1] > 0 else 0.0)
    return found
