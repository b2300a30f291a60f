"""HAICS: binary cross-entropy over the annotated cells, one image and cell at a time."""

from __future__ import annotations

from math import log

import numpy as np

from references.cyborg import scaled


def cell_cross_entropy(cams: np.ndarray, humans: list[np.ndarray | None], *, only_marked: bool) -> float:
    """Mean over the images whose map has a shape; human maps are of the CAM's size, None = nobody looked."""
    found = []
    for cam, human in zip(cams, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        total, cells = 0.0, 0
        for value, marked in zip(scaled(cam).flat, scaled(human).flat, strict=True):
            if marked == 0 and only_marked:
                continue
            value = min(max(value, 1e-3), 1 - 1e-3)
            total -= marked * log(value) + (1 - marked) * log(1 - value)
            cells += 1
        found.append(total / cells)
    return sum(found) / len(found) if found else 0.0
