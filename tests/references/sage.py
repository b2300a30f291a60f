"""The triplet and the divergence of SAGE, one image at a time; the blur as a sum over every pixel's neighbours."""

from __future__ import annotations

import math

import numpy as np

from references.cyborg import scaled
from references.swap import softmax


def blurred(channel: np.ndarray, sigma: float) -> np.ndarray:
    """`(H, W)`; the Gaussian reaches 3 sigma or the opposite edge, the image is mirrored beyond its own."""

    def kernel(side: int) -> list[tuple[int, float]]:
        reach = min(math.ceil(3 * sigma), side - 1)
        heights = [(step, math.exp(-(step**2) / (2 * sigma**2))) for step in range(-reach, reach + 1)]
        return [(step, height / sum(h for _, h in heights)) for step, height in heights]

    def mirrored(place: int, side: int) -> int:
        return abs(place) if place < side else 2 * (side - 1) - place

    rows, columns = channel.shape
    out = np.zeros_like(channel)
    for row in range(rows):
        for column in range(columns):
            for down, much in kernel(rows):
                for right, more in kernel(columns):
                    out[row, column] += (
                        much * more * channel[mirrored(row + down, rows), mirrored(column + right, columns)]
                    )
    return out


def copies(image: np.ndarray, human: np.ndarray | None, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Kept and destroyed copy of `(3, H, W)`; the image itself twice without a region."""
    if human is None or human.max() == human.min():
        return image, image
    rest, w = np.stack([blurred(channel, sigma) for channel in image]), scaled(human)
    return w * image + (1 - w) * rest, (1 - w) * image + w * rest


def triplet(anchor: np.ndarray, kept: np.ndarray, destroyed: np.ndarray, counts: list[bool], margin: float) -> float:
    """Embeddings `(B, C)`."""
    found = []
    for a, p, n, some in zip(anchor, kept, destroyed, counts, strict=True):
        if some:
            a, p, n = (vector / math.sqrt(sum(vector**2)) for vector in (a, p, n))
            found.append(max(0.0, sum((a - p) ** 2) - sum((a - n) ** 2) + margin))
    return sum(found) / len(found) if found else 0.0


def jensen_shannon(first: np.ndarray, second: np.ndarray, counts: list[bool]) -> float:
    """Logits `(B, K)`."""
    found = []
    for one, other, some in zip(first, second, counts, strict=True):
        if some:
            for p, q in zip(softmax(one), softmax(other), strict=True):
                middle = (p + q) / 2
                found.append((p * math.log(p / middle) + q * math.log(q / middle)) / 2)
    return sum(found) / sum(counts) if any(counts) else 0.0
