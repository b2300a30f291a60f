"""GRADIA's loss, one image at a time: its group, its two weights, its two terms."""

from __future__ import annotations

from math import exp, log

import numpy as np

from references.cyborg import scaled

GROUPS = {(True, True): (1.0, 1.0), (True, False): (0.8, 0.2), (False, True): (0.4, 1.6), (False, False): (1.0, 1.0)}
"""(reasonable, accurate) -> (task weight, map weight)."""


def gradia(
    logits: np.ndarray,
    cams: np.ndarray,
    labels: list[int],
    humans: list[np.ndarray | None],
    *,
    enough: float,
    groups: dict[tuple[bool, bool], tuple[float, float]] = GROUPS,
) -> tuple[float, float]:
    """Weighted cross-entropy and weighted distance; None = nobody looked."""
    answers, distances = [], []
    for row, cam, label, human in zip(logits, cams, labels, humans, strict=True):
        ce = -log(exp(row[label]) / sum(exp(value) for value in row))
        task = 1.0
        if human is not None and human.max() > human.min():
            model, person = scaled(cam), scaled(human)
            both = either = 0
            for one, other in zip(model.flat, person.flat, strict=True):
                both += one >= 0.5 and other >= 0.5
                either += one >= 0.5 or other >= 0.5
            group = (both / either >= enough, max(row) == row[label])
            task, attention = groups[group]
            distances.append(attention * abs(model - person).sum() / model.size)
        answers.append(task * ce)
    return sum(answers) / len(answers), sum(distances) / len(distances) if distances else 0.0
