"""HINT: what people rank higher should matter more to the model, as a ranking of cells or as a distance of maps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from salign.checks import choice
from salign.losses.base import averaged, human_maps
from salign.losses.cyborg import saliency_distance
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, true_class
from salign.maps.tensor_ops import ROUNDING
from salign.types import Batch, Output

Form = Literal["ranking", "mse"]


def ranking_violation(importance: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """Return how far the model's order of the cells contradicts people's (after *Taking a HINT*, ICCV 2019).

    It is the mean of `ReLU(m_j - m_i)` over the pairs of cells (i, j) with `H_i > H_j`, where `H` is the human map at
    the size of `importance` and `m` is the importance. Only the order counts: cells that people rank alike may have any
    order. The paper, which we know only from descriptions, ranks proposed regions of an image by the gradient times the
    features within; here the regions are cells. The function holds several tensors of `B (h w)^2` numbers: 3 MB each
    for 20 maps of 14 x 14.

    Args:
        importance: `(B, h, w)`, raw.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.

    Returns:
        Scalar of 0 or more, in the unit of `importance`: the mean over the annotated images whose human map is not
        constant. If no image counts, it is a zero that still back-propagates.
    """
    maps, counts = human_maps(saliency, annotated, importance=(importance, "float (B, h, w)"))
    people, model = maps.flatten(1), importance.flatten(1)
    higher = people[:, :, None] - people[:, None] > ROUNDING  # smaller differences stem from resizing
    wrong = torch.where(higher, (model[:, None] - model[:, :, None]).relu(), 0.0)
    return averaged(wrong.sum((1, 2)) / higher.sum((1, 2)).clamp(min=1), counts)


class Hint(GuidedLoss):
    """`CE + weight * how far the ranking of cells contradicts people's` (HINT), or its later form, a distance of maps.

    Args:
        form: "ranking" (default) compares the ranking of the cells of the true class's raw class activation map, so the
            term is in units of the logit; "mse" is the mean squared difference of the true class's Grad-CAM and the
            human map, both min-max scaled, as HINT is often restated.
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam", "grad_cam"})

    def __init__(
        self,
        *,
        form: Form = "ranking",
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        choice("form", form, Form)
        self.form = form

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the violation of the ranking, or the distance of the maps, a scalar of 0 or more."""
        classes = true_class(batch.labels)
        counts = batch.annotated & has_class(classes)
        if self.form == "mse":
            return saliency_distance(output.grad_cam(classes), batch.saliency, counts)
        return ranking_violation(output.cam(classes), batch.saliency, counts)
