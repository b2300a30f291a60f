"""Model Guidance: how far positive evidence keeps to the human region, by energy, L1 or per-pixel cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.losses.base import averaged, human_maps
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, true_class
from salign.maps.tensor_ops import ROUNDING
from salign.types import Batch, Output

SURE = 1e-3
"""Probabilities are kept this far from 0 and 1. A scaled map is exactly 0 and 1 somewhere, where a logarithm is
infinite."""


def energy_outside(cam: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """Return the share of positive evidence outside of the human region, the energy loss of Model Guidance.

    The paper is *Studying How to Efficiently and Effectively Guide Models with Explanations* (ICCV 2023). The loss is
    `1 - sum of H A / sum of A` over cells, where `A = ReLU(CAM)` is the positive evidence and `H` is the human map at
    the size of the CAM, min-max scaled. Two things differ from the paper. `A` is that of the class activation map
    (published: B-cos, input x gradient or Grad-CAM of any layer). `H` may have values between 0 and 1, which count in
    proportion (published: boxes). An image whose CAM has no positive cell does not count.

    Args:
        cam: `(B, h, w)`, raw, of the true class.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.

    Returns:
        Scalar in [0, 1]. If no image counts, it is a zero that still back-propagates.
    """
    human, counts = human_maps(saliency, annotated, cam=(cam, "float (B, h, w)"))
    positive = cam.relu()
    total = positive.sum((1, 2))
    present = total > ROUNDING * cam.abs().sum((1, 2))
    inside = (human * positive).sum((1, 2)) / torch.where(present, total, 1.0)
    return averaged(1 - inside, counts & present)


def l1_distance(cam: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """Return the mean over cells of `|A / max A - H|`, the L1 loss of Model Guidance.

    The arguments, and what differs from the paper, are those of `energy_outside`.

    Returns:
        Scalar in [0, 1]. An image whose CAM has no positive cell counts with `A = 0`, and has no gradient.
    """
    human, counts = human_maps(saliency, annotated, cam=(cam, "float (B, h, w)"))
    return averaged((_to_one(cam) - human).abs().mean((1, 2)), counts)


def pixel_cross_entropy(cam: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """Return `sum of H (-log(A / max A)) / sum of H`, the PPCE loss of Model Guidance.

    It looks only inside of the region. `A / max A` is clamped to [`SURE`, 1]. The arguments, and what differs from the
    paper, are those of `energy_outside`.

    Returns:
        Scalar in [0, -log `SURE`]. An image whose CAM has no positive cell counts with -log `SURE`, and has no
        gradient.
    """
    human, counts = human_maps(saliency, annotated, cam=(cam, "float (B, h, w)"))
    surprise = -_to_one(cam).clamp(min=SURE).log()
    return averaged((human * surprise).sum((1, 2)) / human.sum((1, 2)).clamp(min=1), counts)


def _to_one(cam: Tensor) -> Tensor:
    """Apply ReLU and divide each map by its maximum; a map without positive values becomes zeros."""
    positive = cam.relu()
    highest = positive.amax((1, 2), keepdim=True)
    present = highest > ROUNDING * cam.abs().amax((1, 2), keepdim=True)
    return torch.where(present, positive / torch.where(present, highest, 1.0), 0.0)


class Energy(GuidedLoss):
    """`CE + weight * share of the true class's positive evidence outside of the human region` (Model Guidance).

    Args:
        weight: the share is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the share of positive evidence outside of the region, a scalar in [0, 1]."""
        classes = true_class(batch.labels)
        return energy_outside(output.cam(classes), batch.saliency, batch.annotated & has_class(classes))


class L1Guidance(GuidedLoss):
    """`CE + weight * L1 distance of the true class's positive evidence to the human map` (Model Guidance).

    Args:
        weight: the distance is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the L1 distance of the maps, a scalar in [0, 1]."""
        classes = true_class(batch.labels)
        return l1_distance(output.cam(classes), batch.saliency, batch.annotated & has_class(classes))


class PPCE(GuidedLoss):
    """`CE + weight * cross-entropy of the true class's positive evidence inside the human region` (Model Guidance).

    Args:
        weight: the cross-entropy of cells is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the cross-entropy of the cells, a scalar of 0 or more."""
        classes = true_class(batch.labels)
        return pixel_cross_entropy(output.cam(classes), batch.saliency, batch.annotated & has_class(classes))
