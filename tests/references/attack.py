"""Slow versions of attacks: one image at a time, on a softmax regression whose gradient is written down."""

from __future__ import annotations

import numpy as np


def gradient(image: np.ndarray, weight: np.ndarray, label: int) -> np.ndarray:
    """Of `-log softmax(weight @ image)[label]` by the image: `weight^T (softmax - one_hot)`."""
    logits = weight @ image.ravel()
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    shares[label] -= 1
    return (weight.T @ shares).reshape(image.shape)


def climb(
    image: np.ndarray,
    weight: np.ndarray,
    label: int,
    *,
    epsilon: float,
    step_size: float,
    steps: int,
    norm: str,
    allowed: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """Projected gradient steps; epsilon and step_size in values of the image, `allowed` zeros and ones."""

    def back(attacked: np.ndarray) -> np.ndarray:
        change = attacked - image
        if norm == "linf":
            change = np.minimum(np.maximum(change, -epsilon), epsilon)
        elif np.sqrt((change**2).sum()) > epsilon:
            change = change * epsilon / np.sqrt((change**2).sum())
        return np.minimum(np.maximum(image + change, 0), 1)

    attacked = back(image + allowed * start)
    for _ in range(steps):
        slope = allowed * gradient(attacked, weight, label)
        direction = np.sign(slope) if norm == "linf" else slope / np.sqrt((slope**2).sum())
        attacked = back(attacked + step_size * direction)
    return attacked
