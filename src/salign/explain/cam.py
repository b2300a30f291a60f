"""Class activation maps (Zhou et al. 2016), at the cost of one forward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.checks import tensors
from salign.explain.state import Model, evaluating


def cam(model: Model, images: Tensor, classes: Tensor) -> Tensor:
    """Map the evidence for a class at each place: raw and signed, as `Output.cam` gives it.

    One forward pass in evaluation mode without a graph; the model's modes, gradients and hooks stay as they were.
    With an Output at hand, `output.cam(classes)` is the same and costs no forward pass at all.

    Args:
        model: images -> Output.
        images: `(B, 3, H, W)` in [0, 1].
        classes: `(B,)` or `(B, n)` int64.

    Returns:
        `(B, h, w)` or `(B, n, h, w)` float32, detached.

    Raises:
        SalignError: images or classes of another kind or shape, or a class that there is not.
    """
    tensors(images=(images, "float (B, 3, H, W)"))
    with evaluating(model), torch.no_grad():
        return model(images).cam(classes).detach()
