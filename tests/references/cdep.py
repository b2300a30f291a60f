"""How much of each logit comes from outside of the human region, one image, class and cell at a time."""

from __future__ import annotations

from math import exp

import numpy as np

from references.cyborg import scaled


def decomposition_outside(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    """Mean over the images whose map has a shape; `cams` `(B, K, h, w)`, human maps of their size, None = no map."""
    per_image = []
    for cam, human in zip(cams, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        person, shares = scaled(human), []
        for one_class in cam:
            outside = inside = 0.0
            for row in range(one_class.shape[0]):
                for column in range(one_class.shape[1]):
                    inside += person[row, column] * one_class[row, column] / one_class.size
                    outside += (1 - person[row, column]) * one_class[row, column] / one_class.size
            shares.append(exp(outside) / (exp(outside) + exp(inside)))
        per_image.append(sum(shares) / len(shares))
    return sum(per_image) / len(per_image) if per_image else 0.0
