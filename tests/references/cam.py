"""Class activation maps, one cell and one class at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def linear_cam(features: np.ndarray, weight: np.ndarray, classes: list[int]) -> np.ndarray:
    """`(B, C, h, w)`, `(K, C)` and a class per image -> `(B, h, w)`: Zhou et al. 2016, eq. 2, as four loops."""
    images, channels, height, width = features.shape
    maps = np.zeros((images, height, width))
    for image in range(images):
        for row in range(height):
            for column in range(width):
                for channel in range(channels):
                    maps[image, row, column] += weight[classes[image], channel] * features[image, channel, row, column]
    return maps


def head_gradient_cam(forward_head: Callable[[Tensor], Tensor], raw: Tensor, classes: list[int]) -> Tensor:
    """A backward pass per image and class, on the network's own layout of features.

    Args:
        forward_head: timm's own.
        raw: what timm's `forward_features` gives: `(B, C, h, w)`, or tokens `(B, N, C)`.
        classes: one per image.

    Returns:
        `(B, h, w)`, or `(B, N)` for tokens: the sum over channels of gradient times feature. Times the number of
        cells it is the map.
    """
    channels = 2 if raw.dim() == 3 else 1
    maps = []
    for image, wanted in enumerate(classes):
        alone = raw[image : image + 1].detach().clone().requires_grad_()
        forward_head(alone)[0, wanted].backward()
        assert alone.grad is not None
        maps.append((alone.grad * alone.detach()).sum(channels)[0])
    return torch.stack(maps)
