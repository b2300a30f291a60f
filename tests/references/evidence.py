"""Share of the class-centred evidence outside of the human region, one image, class and cell at a time."""

from __future__ import annotations

import numpy as np

from references.cyborg import scaled


def evidence_outside(cams: np.ndarray, humans: list[np.ndarray | None]) -> float:
    """Mean over the images whose map has a shape; `cams` `(B, K, h, w)`, human maps of their size, None = no map."""
    shares = []
    for cam, human in zip(cams, humans, strict=True):
        if human is None or human.max() == human.min():
            continue
        person, outside, total = scaled(human), 0.0, 0.0
        for row in range(cam.shape[1]):
            for column in range(cam.shape[2]):
                average = sum(cam[:, row, column]) / len(cam)
                for value in cam[:, row, column]:
                    total += (value - average) ** 2
                    outside += (1 - person[row, column]) * (value - average) ** 2
        shares.append(outside / total)
    return sum(shares) / len(shares) if shares else 0.0
