"""The 3 x 3 convolution that some losses apply to people's map before they compare the model's map with it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def gaussian() -> Tensor:
    """Return the binomial kernel (1, 2, 1) x (1, 2, 1) / 16, `(3, 3)`, a Gaussian of sigma 0.85; it sums to one."""
    side = torch.tensor([0.25, 0.5, 0.25])
    return side[:, None] * side


def convolve(maps: Tensor, kernel: Tensor) -> Tensor:
    """Convolve `(B, h, w)` maps with a `(3, 3)` kernel, edges repeated outwards, in float32 even under autocast."""
    with torch.autocast(maps.device.type, enabled=False):
        padded = functional.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(padded, kernel[None, None].to(maps.dtype))[:, 0]
