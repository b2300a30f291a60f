"""RES-G and RES-L, which allow for incomplete or inexact human maps, by a slack and by smoothing these maps."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from salign.checks import number, tensors
from salign.losses.base import averaged, human_maps
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, true_class
from salign.losses.smoothing import convolve, gaussian
from salign.maps import min_max
from salign.types import Batch, Output

STEEPNESS = 5
TRIED = 21
"""Number of thresholds that are tried between 0 and 1."""


def certain(human: Tensor, *, relevant: float = 0.5, irrelevant: float = 0.0) -> Tensor:
    """Turn maps in [0, 1] into marks `F`: +1 from `relevant` on, -1 up to `irrelevant`, and 0 (open) between."""
    return (human >= relevant).float() - (human <= irrelevant).float()


def res_distance(
    grad_cam: Tensor,
    saliency: Tensor,
    annotated: Tensor | None = None,
    *,
    kernel: Tensor,
    bias: Tensor | None = None,
    slack: float = 0.1,
    relevant: float = 0.5,
    irrelevant: float = 0.0,
) -> Tensor:
    """Return the distance of Grad-CAM to a human map with open cells, as in RES (public code).

    It is `ReLU(mean over F != 0 of |tanh(5 (M - a)) - F| - slack) + mean |M - g(F)|` per image. `M` is the min-max
    scaled Grad-CAM. `a` is the value that separates attention from none; it is found by brute force for each image, as
    the best of `TRIED` values between 0 and 1. `g` is a convolution.

    Three things differ. In the paper people mark relevant and irrelevant pixels; here two thresholds read `F` off a
    map, see `certain`. Negative values of `g(F)` are set to 0, the least value of `M`. Everything is computed per image
    in one batch, and differentiated through the weights of Grad-CAM.

    Args:
        grad_cam: `(B, h, w)`, of the true class.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.
        kernel: `(3, 3)`, the kernel of `g`.
        bias: scalar that `g` adds; None = 0.
        slack: the first part costs nothing up to this value (published: eta).
        relevant: see `certain`.
        irrelevant: see `certain`.

    Returns:
        Scalar of 0 or more, the mean over the annotated images whose human map is not constant. If no image counts, it
        is a zero that still back-propagates.
    """
    tensors(kernel=(kernel, "float (3, 3)"), bias=(bias, "float () or None"))
    check_thresholds(slack, relevant, irrelevant)
    human, counts = human_maps(saliency, annotated, grad_cam=(grad_cam, "float (B, h, w)"))
    model = min_max(grad_cam)
    marks = certain(human, relevant=relevant, irrelevant=irrelevant).to(model.dtype)
    thresholds = torch.linspace(0, 1, TRIED, device=model.device, dtype=model.dtype).view(1, -1, 1, 1)
    wrong = (torch.tanh(STEEPNESS * (model[:, None] - thresholds)) - marks[:, None]).abs() * marks[:, None].abs()
    mean = wrong.sum((2, 3)) / marks.abs().sum((1, 2)).clamp(min=1)[:, None]
    imputed = convolve(marks, kernel)
    imputed = (imputed if bias is None else imputed + bias).relu()
    return averaged((mean.amin(1) - slack).relu() + (model - imputed).abs().mean((1, 2)), counts)


def check_thresholds(slack: float, relevant: float, irrelevant: float) -> None:
    """Refuse a slack below 0, and thresholds that are not 0 <= irrelevant < relevant <= 1."""
    number("slack", slack, "[0, inf)")
    number("relevant", relevant, "(0, 1]")
    number("irrelevant", irrelevant, f"[0, {relevant})")


class ResG(GuidedLoss):
    """`CE + weight * distance of Grad-CAM to a map with open cells, with slack, smoothed by a Gaussian` (RES-G).

    Args:
        slack: disagreement on marked cells is free up to this value (eta in the source).
        relevant: cells from this value of the min-max scaled map on count as marked.
        irrelevant: cells up to this value count as not relevant; cells between the two values are left open.
        weight: the distance is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"grad_cam"})
    learned: ClassVar[bool] = False

    def __init__(
        self,
        *,
        slack: float = 0.1,
        relevant: float = 0.5,
        irrelevant: float = 0.0,
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        check_thresholds(slack, relevant, irrelevant)
        self.slack, self.relevant, self.irrelevant = slack, relevant, irrelevant
        self.kernel = nn.Parameter(gaussian(), requires_grad=self.learned)
        self.bias = nn.Parameter(torch.zeros(()), requires_grad=self.learned)

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the distance to the human map, a scalar of 0 or more."""
        classes = true_class(batch.labels)
        return res_distance(
            output.grad_cam(classes),
            batch.saliency,
            batch.annotated & has_class(classes),
            kernel=self.kernel,
            bias=self.bias,
            slack=self.slack,
            relevant=self.relevant,
            irrelevant=self.irrelevant,
        )


class ResL(ResG):
    """`CE + weight * distance of Grad-CAM to a map with open cells, with slack, smoothed by a learned kernel` (RES-L).

    The 3 x 3 convolution (ten numbers, with its bias) starts as the Gaussian of RES-G and is trained with the network,
    by the same optimiser. It is not part of the network that is saved.

    Args:
        slack: disagreement on marked cells is free up to this value (eta in the source).
        relevant: cells from this value of the min-max scaled map on count as marked.
        irrelevant: cells up to this value count as not relevant; cells between the two values are left open.
        weight: the distance is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    learned = True
