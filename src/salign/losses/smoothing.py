"""The 3 x 3 convolution of maps that some losses put between people's map and the model's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def gaussian() -> Tensor:
    """`(3, 3)`, sums to one: the binomial kernel (1, 2, 1) x (1, 2, 1) / 16, a Gaussian of sigma 0.85."""
    side = torch.tensor([0.25, 0.5, 0.25])
    return side[:, None] * side


def convolve(maps: Tensor, kernel: Tensor) -> Tensor:
    """`(B, h, w)` maps with a `(3, 3)` kernel, edges repeated outwards; float32 even under autocast."""
    with torch.autocast(maps.device.type, enabled=False):
        padded = functional.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(padded, kernel[None, None].to(maps.dtype))[:, 0]
