"""Distance of an input gradient to a human map at five scales, one image, level and pixel at a time."""

from __future__ import annotations

from math import sqrt

import numpy as np

TAPS = (1, 4, 6, 4, 1)


def positive_deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviations above the mean; 0 below it."""
    mean = sum(values.flat) / values.size
    deviation = sqrt(sum((value - mean) ** 2 for value in values.flat) / values.size)
    return np.array([[max(0.0, (value - mean) / deviation) for value in row] for row in values])


def halved(values: np.ndarray) -> np.ndarray:
    """Every other pixel of the map blurred by the outer product of TAPS, / 256; zeros beyond the edge."""
    height, width = values.shape
    found = np.zeros(((height + 1) // 2, (width + 1) // 2))
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            for i, down in enumerate(TAPS):
                for j, across in enumerate(TAPS):
                    y, x = 2 * row + i - 2, 2 * column + j - 2
                    if 0 <= y < height and 0 <= x < width:
                        found[row, column] += down * across / 256 * values[y, x]
    return found


def harmonization(gradients: np.ndarray, humans: list[np.ndarray | None], colours: str = "mean") -> float:
    """Mean over the images whose map has a shape; `gradients` `(B, 3, H, W)`, human maps as large, None = no map."""
    per_image = []
    for gradient, human in zip(gradients, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        one_map = sum(abs(colour) if colours == "absolute" else colour for colour in gradient) / len(gradient)
        model, person, levels = positive_deviation(one_map), positive_deviation(human), []
        for level in range(5):
            if level > 0:
                model, person = halved(model), halved(person)
            levels.append(sum((a - b) ** 2 for a, b in zip(model.flat, person.flat, strict=True)) / model.size)
        per_image.append(sum(levels) / 5)
    return sum(per_image) / len(per_image) if per_image else 0.0
