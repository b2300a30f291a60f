"""Class activation maps (Zhou et al. 2016), at the cost of one forward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.checks import tensors
from salign.explain.state import Model, evaluating


def cam(model: Model, images: Tensor, classes: Tensor) -> Tensor:
    """Return the class activation map: the evidence for a class at each place, raw and signed.

    This takes one forward pass in evaluation mode without a graph; the model's modes, gradients and hooks stay as they
    were. If you have the Output already, `output.cam(classes)` gives the same map without a forward pass.

    Args:
        model: images -> Output.
        images: `(B, 3, H, W)` in [0, 1].
        classes: `(B,)` or `(B, n)` int64.

    Returns:
        `(B, h, w)` or `(B, n, h, w)` float32, detached.

    Raises:
        SalignError: the images or classes have the wrong type or shape, or there is no such class.
    """
    tensors(images=(images, "float (B, 3, H, W)"))
    with evaluating(model), torch.no_grad():
        return model(images).cam(classes).detach()
