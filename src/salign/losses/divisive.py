"""Divisive Decisions: on the human region, evidence for the true and for a false class should diverge."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.losses.base import averaged, human_maps
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, true_class
from salign.maps import min_max
from salign.types import Batch, Output


def agreement_inside(true_cam: Tensor, false_cam: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """Return how little the maps of a true and a false class diverge where people looked (after arXiv 2507.17000).

    It is the sum over cells of `H (1 - (T - F)) / 2`, divided by the sum of `H`. `T` and `F` are the maps of the true
    and of the false class, and `H` is the human map at their size; all are min-max scaled. Only the abstract of the
    paper is known to us. It says that these maps should diverge in the regions that people find important, and that
    three losses follow, but it does not give their formulas. This is the simplest loss of that kind: in the region, the
    true class should have evidence and the false class none. Outside of the region nothing is required.

    Args:
        true_cam: `(B, h, w)`, raw.
        false_cam: `(B, h, w)`, raw.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.

    Returns:
        Scalar in [0, 1], 1/2 for maps that are the same. It is the mean over the annotated images whose human map is
        not constant. If no image counts, it is a zero that still back-propagates.
    """
    human, counts = human_maps(
        saliency, annotated, true_cam=(true_cam, "float (B, h, w)"), false_cam=(false_cam, "float (B, h, w)")
    )
    alike = (1 - (min_max(true_cam) - min_max(false_cam))) / 2
    return averaged((human * alike).sum((1, 2)) / human.sum((1, 2)).clamp(min=1), counts)


def strongest_false(logits: Tensor, labels: Tensor) -> Tensor:
    """Return for each image the wrong class with the highest logit, `(B,)` int64; class 0 if no class is wrong."""
    if labels.dim() == 2:
        return logits.detach().masked_fill(labels != 0, -torch.inf).argmax(1)
    return logits.detach().scatter(1, labels[:, None], -torch.inf).argmax(1)


class Divisive(GuidedLoss):
    """`CE + weight * how little true- and false-class maps diverge on the human region` (Divisive Decisions).

    With more than two classes, the false class is the wrong class with the highest logit. Where images may have several
    labels, an image that has all of them or none does not count.

    Args:
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return how little the maps diverge, a scalar in [0, 1]."""
        true, false, counts = true_class(batch.labels), strongest_false(output.logits, batch.labels), batch.annotated
        if batch.multi_label:
            counts = counts & has_class(true) & (batch.labels == 0).any(1)
            return agreement_inside(output.cam(true), output.cam(false), batch.saliency, counts)
        true_cam, false_cam = output.cam(torch.stack([true, false], dim=1)).unbind(1)
        return agreement_inside(true_cam, false_cam, batch.saliency, counts)
