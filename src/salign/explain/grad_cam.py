"""Grad-CAM (Selvaraju et al. 2017) on the last feature maps."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from salign.checks import instance, tensors
from salign.explain.state import Model, evaluating
from salign.types import Output


def grad_cam(model: Model, images: Tensor, classes: Tensor) -> Tensor:
    """Return the Grad-CAM of a class, `ReLU(sum_k a_k F_k)` (eq. 1 and 2).

    `F_k` are the last feature maps, and `a_k` is the spatial mean of the gradient of the class logit by `F_k`. This
    takes one forward pass in evaluation mode. The gradient goes back through the head only, and no parameter gets a
    gradient. With a linear head on the spatial mean, the map is `ReLU(CAM) / (h * w)`.

    Args:
        model: images -> Output.
        images: `(B, 3, H, W)` in [0, 1].
        classes: `(B,)` int64.

    Returns:
        `(B, h, w)` float32, not negative, detached.

    Raises:
        SalignError: the images or classes have the wrong type or shape, or there is no such class.
    """
    tensors(images=(images, "float (B, 3, H, W)"))
    with evaluating(model), torch.no_grad():
        return grad_cam_of(model(images), classes)


def grad_cam_of(output: Output, classes: Tensor) -> Tensor:
    """Return the Grad-CAM of a forward pass that was already made; see `grad_cam`.

    It works under `no_grad` and `inference_mode`.
    """
    instance("output", output, Output, "an Output, as a Classifier or a wrapped network gives it")
    detached = replace(output, features=output.features.detach(), logits=output.logits.detach())
    return detached.grad_cam(classes).detach()
