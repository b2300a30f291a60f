"""Grad-CAM (Selvaraju et al. 2017) on the last feature maps."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from salign.checks import instance, tensors
from salign.explain.state import Model, evaluating
from salign.types import Output


def grad_cam(model: Model, images: Tensor, classes: Tensor) -> Tensor:
    """`ReLU(sum_k a_k F_k)`, with `a_k` the spatial mean of the gradient of the class logit by `F_k` (eq. 1 and 2).

    One forward pass in evaluation mode; the gradient goes back through the head only, and no parameter gets one. With a
    linear head on the spatial mean this is `ReLU(CAM) / (h * w)`.

    Args:
        model: images -> Output.
        images: `(B, 3, H, W)` in [0, 1].
        classes: `(B,)` int64.

    Returns:
        `(B, h, w)` float32, not negative, detached.

    Raises:
        SalignError: images or classes of another kind or shape, or a class that there is not.
    """
    tensors(images=(images, "float (B, 3, H, W)"))
    with evaluating(model), torch.no_grad():
        return grad_cam_of(model(images), classes)


def grad_cam_of(output: Output, classes: Tensor) -> Tensor:
    """Grad-CAM of a forward pass already made; see `grad_cam`. Works under `no_grad` and `inference_mode`."""
    instance("output", output, Output, "an Output, as a Classifier or a wrapped network gives it")
    detached = replace(output, features=output.features.detach(), logits=output.logits.detach())
    return detached.grad_cam(classes).detach()
