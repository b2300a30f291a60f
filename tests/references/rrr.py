"""Input gradients and Grad-CAM where people did not look, one image and one pixel at a time."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np

from references.cyborg import scaled


def all_log_probabilities_by_pixels(weight: np.ndarray, images: np.ndarray) -> np.ndarray:
    """`d sum_k log p_k / dx` of a network whose logits are `weight[k] . x`: `sum_k W_k - K sum_k p_k W_k`."""
    found = np.zeros_like(images)
    for i, image in enumerate(images):
        logits = [(row * image).sum() for row in weight]
        total = sum(exp(value) for value in logits)
        for value, row in zip(logits, weight, strict=True):
            found[i] += row - len(weight) * exp(value) / total * row
    return found


def outside(gradients: np.ndarray, humans: list[np.ndarray | None], form: str) -> float:
    """Mean over the images whose map has a shape; `gradients` `(B, 3, H, W)`, human maps as large, None = no map."""
    per_image = []
    for gradient, human in zip(gradients, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        irrelevant = 1 - scaled(human)
        total = product = one = other = 0.0
        for row in range(gradient.shape[1]):
            for column in range(gradient.shape[2]):
                a, colours = irrelevant[row, column], gradient[:, row, column]
                for value in colours:
                    total += (a * value) ** 2 if form == "squared" else abs(a * value)
                strength = sum(abs(value) for value in colours)
                product, one, other = product + a * strength, one + a * a, other + strength * strength
        per_image.append(product / sqrt(one * other) if form == "cosine" else total)
    return sum(per_image) / len(per_image) if per_image else 0.0
