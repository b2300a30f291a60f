"""Squared Grad-CAM where people did not look, one image and one cell at a time."""

from __future__ import annotations

import numpy as np

from references.cyborg import scaled


def outside(maps: np.ndarray, humans: list[np.ndarray | None], clip: float = float("inf")) -> float:
    """Mean over the images whose map has a shape; `maps` `(B, h, w)`, human maps of their size, None = no map."""
    per_image = []
    for grad_cam, human in zip(maps, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        person, total = scaled(human), 0.0
        for row in range(grad_cam.shape[0]):
            for column in range(grad_cam.shape[1]):
                total += ((1 - person[row, column]) * grad_cam[row, column]) ** 2
        per_image.append(min(total, clip))
    return sum(per_image) / len(per_image) if per_image else 0.0
