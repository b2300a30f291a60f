"""The published CYBORG loss, one image and one cell at a time (arXiv 2112.00686, 2410.16190).

`alpha * CE + (1 - alpha) * MSE(CAM, human map)`, both maps min-max scaled per image, the mean over images and cells.
Human maps are already of the CAM's size: the size of the cells is no part of the formula.
"""

from __future__ import annotations

from math import exp, log

import numpy as np


def cross_entropy(logits: np.ndarray, labels: list[int], weights: list[float] | None = None) -> float:
    """Mean over images, or with `weights` the mean weighted by class, as torch has it."""
    total = counted = 0.0
    for row, label in zip(logits, labels, strict=True):
        probability = exp(row[label]) / sum(exp(value) for value in row)
        weight = 1.0 if weights is None else weights[label]
        total += -weight * log(probability)
        counted += weight
    return total / counted


def soft_cross_entropy(logits: np.ndarray, targets: list[list[float]], weights: list[float] | None = None) -> float:
    """The same where each image is of every class with a probability; it counts with the mean weight of its classes."""
    total = counted = 0.0
    for row, probable in zip(logits, targets, strict=True):
        for value, share, weight in zip(row, probable, weights or [1.0] * len(row), strict=True):
            total += -weight * share * log(exp(value) / sum(exp(other) for other in row))
            counted += weight * share
    return total / counted


def scaled(values: np.ndarray) -> np.ndarray:
    """Min-max of one map; one without shape becomes zeros (the published code: NaN)."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def distance(cams: np.ndarray, humans: list[np.ndarray | None], *, power: int = 2) -> float:
    """Mean over the images that have a human map with a shape; None = nobody looked; 0 if there is none."""
    per_image = []
    for cam, human in zip(cams, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        model, person = scaled(cam), scaled(human)
        total = 0.0
        for row in range(cam.shape[0]):
            for column in range(cam.shape[1]):
                total += abs(model[row, column] - person[row, column]) ** power
        per_image.append(total / cam.size)
    return sum(per_image) / len(per_image) if per_image else 0.0


def cyborg(
    logits: np.ndarray, cams: np.ndarray, labels: list[int], humans: list[np.ndarray | None], *, alpha: float = 0.5
) -> float:
    """The whole loss."""
    return alpha * cross_entropy(logits, labels) + (1 - alpha) * distance(cams, humans)
