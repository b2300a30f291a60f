"""Entropy of maps, one cell at a time, and the three losses made of it."""

from __future__ import annotations

from math import log

import numpy as np

from references.cyborg import scaled


def map_entropy(values: np.ndarray) -> float:
    if values.max() == values.min():
        return log(values.size)
    model = scaled(values)
    return -sum(value / model.sum() * log(value / model.sum()) for value in model.flat if value > 0)


def droid(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    return sum(log(1 + map_entropy(cam)) for cam in cams) / len(cams)


def fmmce(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    return sum(map_entropy(cam) for cam in cams) / len(cams)


def hbcam(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    """Over the images whose map has a shape; None = nobody looked."""
    pairs = [(cam, human) for cam, human in zip(cams, humans, strict=True) if human is not None]
    pairs = [(cam, human) for cam, human in pairs if human.max() > human.min()]
    if not pairs:
        return 0.0
    model = sum(map_entropy(cam) for cam, _ in pairs) / len(pairs)
    people = sum(map_entropy(human) for _, human in pairs) / len(pairs)
    return (model - people) ** 2
