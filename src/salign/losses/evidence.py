"""Our own loss: the share of all classes' evidence that lies outside of the human region."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.losses.base import averaged, human_maps
from salign.losses.guided import GuidedLoss
from salign.maps.tensor_ops import ROUNDING
from salign.types import Batch, Output


def evidence_outside(
    cams: Tensor, saliency: Tensor, annotated: Tensor | None = None, *, multi_label: bool = False
) -> Tensor:
    """Return the share of the evidence that lies where people did not look.

    The evidence is `E_k = CAM_k - mean over classes of CAM`: what is added to all logits alike changes no answer, so it
    is no evidence. The share is the sum over classes and cells of `(1 - H) E^2`, divided by the sum of `E^2`; `H` is
    the human map at the size of the CAM, min-max scaled. Unlike a distance to the scaled map of one class, the share
    covers all classes at once, depends on how strong the evidence is, and requires no shape inside of the region. Where
    images may have several labels, each class is a question of its own. What is added to all logits then does change
    answers, so that `E_k = CAM_k`.

    Args:
        cams: `(B, K, h, w)`, raw, of all classes.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.
        multi_label: whether images may have several labels.

    Returns:
        Scalar in [0, 1]: the mean over the annotated images whose human map is not constant and which have evidence. If
        no image counts, it is a zero that still back-propagates.
    """
    human, counts = human_maps(saliency, annotated, cams=(cams, "float (B, K, h, w)"))
    energy = (cams if multi_label else cams - cams.mean(1, keepdim=True)).square().sum(1)
    total = energy.sum((1, 2))
    present = total > ROUNDING**2 * cams.square().sum((1, 2, 3))  # anything less is rounding error, not evidence
    share = ((1 - human) * energy).sum((1, 2)) / torch.where(present, total, 1.0)
    return averaged(share, counts & present)


class Evidence(GuidedLoss):
    """`CE + weight * share of all classes' evidence outside of the human region`: this project's own loss.

    Args:
        weight: the share is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the share of the evidence outside of the region, a scalar in [0, 1]."""
        every = torch.arange(output.logits.shape[1], device=output.logits.device).expand(len(output.logits), -1)
        return evidence_outside(output.cam(every), batch.saliency, batch.annotated, multi_label=batch.multi_label)
