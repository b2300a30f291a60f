"""What losses make of several labels per image, one image and class at a time; labels are rows of zeros and ones."""

from __future__ import annotations

from math import exp, log

import numpy as np


def sigmoid(value: float) -> float:
    return 1 / (1 + exp(-value))


def binary(logits: np.ndarray, labels: np.ndarray, weights: list[float] | None = None) -> list[float]:
    """Of each image the mean over classes of the binary cross-entropy, weighted by class."""
    found = []
    for row, told in zip(logits, labels, strict=True):
        total = counted = 0.0
        for k, (logit, yes) in enumerate(zip(row, told, strict=True)):
            weight = 1.0 if weights is None else weights[k]
            total -= weight * log(sigmoid(logit) if yes else 1 - sigmoid(logit))
            counted += weight
        found.append(total / counted)
    return found


def mean_map(cams: np.ndarray, chosen: np.ndarray) -> np.ndarray | None:
    """`(K, h, w)` -> `(h, w)`: the mean over the chosen classes; None where there is none."""
    taken = [cam for cam, some in zip(cams, chosen, strict=True) if some]
    return sum(taken) / len(taken) if taken else None


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Of two images' logits `(K,)`: the mean over classes of the Kullback-Leibler divergence of yes and no, in nats."""
    total = 0.0
    for one, other in zip(first, second, strict=True):
        for p, q in ((sigmoid(one), sigmoid(other)), (1 - sigmoid(one), 1 - sigmoid(other))):
            total += p * log(p / q)
    return total / len(first)


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """Likewise, of both from their middle."""
    total = 0.0
    for one, other in zip(first, second, strict=True):
        for p, q in ((sigmoid(one), sigmoid(other)), (1 - sigmoid(one), 1 - sigmoid(other))):
            middle = (p + q) / 2
            total += (p * log(p / middle) + q * log(q / middle)) / 2
    return total / len(first)


def energy_outside(cams: np.ndarray, human: np.ndarray) -> float:
    """Share of all classes' squared evidence, `(K, h, w)`, outside of the scaled human map `(h, w)`."""
    outside = total = 0.0
    for cam in cams:
        for value, looked in zip(cam.flat, human.flat, strict=True):
            total += value**2
            outside += (1 - looked) * value**2
    return outside / total
