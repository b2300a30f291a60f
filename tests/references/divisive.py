"""How little true- and false-class maps diverge on the human region, one image and cell at a time."""

from __future__ import annotations

import numpy as np

from references.cyborg import scaled


def agreement_inside(true: np.ndarray, false: np.ndarray, humans: list[np.ndarray | None]) -> float:
    """Mean over the images whose map has a shape; human maps are of the CAM's size, None = nobody looked."""
    found = []
    for one, other, human in zip(true, false, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        total = weight = 0.0
        for right, wrong, looked in zip(scaled(one).flat, scaled(other).flat, scaled(human).flat, strict=True):
            total += looked * (1 - (right - wrong)) / 2
            weight += looked
        found.append(total / weight)
    return sum(found) / len(found) if found else 0.0


def strongest_false(logits: np.ndarray, labels: list[int]) -> list[int]:
    return [
        max((value, k) for k, value in enumerate(row) if k != label)[1]
        for row, label in zip(logits, labels, strict=True)
    ]
