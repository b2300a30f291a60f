"""Cross-entropy with the seconds of wrong answers, one image at a time."""

from __future__ import annotations

from math import exp, isnan, log

import numpy as np


def timed_cross_entropy(logits: np.ndarray, labels: list[int], seconds: list[float], factor: float = 0.1) -> float:
    total = 0.0
    for row, label, took in zip(logits, labels, seconds, strict=True):
        ce = -log(exp(row[label]) / sum(exp(value) for value in row))
        wrong = row.argmax() != label
        total += ce * factor * took if wrong and not isnan(took) else ce
    return total / len(labels)
