"""The three losses of Model Guidance (ICCV 2023) on class activation maps, one image and cell at a time."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np

from references.cyborg import scaled


def over_images(one: Callable, cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    """Mean of `one(cam, scaled human map)` over the images whose map has a shape; None = nobody looked."""
    found = [
        one(cam, scaled(human))
        for cam, human in zip(cams, humans, strict=True)
        if human is not None and human.max() > human.min()
    ]
    return sum(found) / len(found) if found else 0.0


def energy_outside(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    def one(cam: np.ndarray, human: np.ndarray) -> float:
        inside = everywhere = 0.0
        for value, marked in zip(cam.flat, human.flat, strict=True):
            if value > 0:
                everywhere += value
                inside += marked * value
        return 1 - inside / everywhere

    return over_images(one, cams, humans)


def l1_distance(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    def one(cam: np.ndarray, human: np.ndarray) -> float:
        pairs = list(zip(cam.flat, human.flat, strict=True))
        return sum(abs(max(value, 0) / cam.max() - marked) for value, marked in pairs) / len(pairs)

    return over_images(one, cams, humans)


def pixel_cross_entropy(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    def one(cam: np.ndarray, human: np.ndarray) -> float:
        total = weight = 0.0
        for value, marked in zip(cam.flat, human.flat, strict=True):
            total += marked * -log(max(value / cam.max(), 1e-3))
            weight += marked
        return total / weight

    return over_images(one, cams, humans)
