"""Region swap and its two terms, one image, pixel and class at a time."""

from __future__ import annotations

import math

import numpy as np

from references.cyborg import scaled


def partner(labels: list[int], index: list[int], image: int) -> int:
    """Position of the image that stands further on in the order of label and row, by one of the numbers that may be."""
    order = sorted(range(len(labels)), key=lambda i: (labels[i], index[i]))
    largest = max(labels.count(label) for label in labels)
    steps = list(range(largest, len(labels) - largest + 1)) or [len(labels) // 2]
    return order[(order.index(image) + steps[sum(index) % len(steps)]) % len(labels)]


def swapped(images: np.ndarray, labels: list[int], humans: list[np.ndarray | None], index: list[int]) -> np.ndarray:
    """`(B, 3, H, W)`; human maps of the images' size, None = no map."""
    out = images.copy()
    for i, human in enumerate(humans):
        if human is None or human.max() == human.min():
            continue
        other, weight = images[partner(labels, index, i)], scaled(human)
        for row in range(images.shape[2]):
            for column in range(images.shape[3]):
                w = weight[row, column]
                out[i, :, row, column] = w * images[i, :, row, column] + (1 - w) * other[:, row, column]
    return out


def softmax(logits: np.ndarray) -> list[float]:
    """Probabilities of one image."""
    whole = sum(math.exp(value) for value in logits)
    return [math.exp(value) / whole for value in logits]


def term(second: np.ndarray, labels: list[int], humans: list[np.ndarray | None], first: np.ndarray | None) -> float:
    """Cross-entropy of `second` `(B, K)`, or its divergence from `first`, over the images with a region."""
    found = []
    for i, human in enumerate(humans):
        if human is None or human.max() == human.min():
            continue
        answer = softmax(second[i])
        if first is None:
            found.append(-math.log(answer[labels[i]]))
        else:
            before = softmax(first[i])
            found.append(sum(p * math.log(p / q) for p, q in zip(before, answer, strict=True)))
    return sum(found) / len(found) if found else 0.0
