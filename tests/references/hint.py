"""HINT's ranking term, one image and one pair of cells at a time."""

from __future__ import annotations

import numpy as np


def ranking_violation(importances: np.ndarray, humans: list[np.ndarray | None]) -> float:
    """Mean over the images whose map has a shape; human maps are of the importance's size, None = nobody looked."""
    found = []
    for importance, human in zip(importances, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        total, pairs = 0.0, 0
        for model_i, human_i in zip(importance.flat, human.flat, strict=True):
            for model_j, human_j in zip(importance.flat, human.flat, strict=True):
                if human_i > human_j:
                    pairs += 1
                    total += max(model_j - model_i, 0)
        found.append(total / pairs)
    return sum(found) / len(found) if found else 0.0
