"""HINT: what people rank higher should matter more to the model; as a ranking of cells, or as a distance of maps."""

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
    """How far the model's order of the cells contradicts people's, after *Taking a HINT* (ICCV 2019).

    Mean over the pairs of cells (i, j) with `H_i > H_j` of `ReLU(m_j - m_i)`; `H` is the human map at the size of
    `importance`, `m` the importance. Only order counts: nothing is asked of cells that people rank alike. The paper,
    known here by descriptions, ranks proposed regions of an image by the gradient times the features within; the
    regions here are cells. Takes `B (h w)^2` numbers of memory a few times over: 3 MB each for 20 maps of 14 x 14.

    Args:
        importance: `(B, h, w)`, raw.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.

    Returns:
        Scalar, not negative, in the unit of `importance`: mean over the annotated images whose map has a shape; a zero
        that back-propagates without any.
    """
    maps, counts = human_maps(saliency, annotated, importance=(importance, "float (B, h, w)"))
    people, model = maps.flatten(1), importance.flatten(1)
    higher = people[:, :, None] - people[:, None] > ROUNDING  # what is less, resizing makes of equal cells
    wrong = torch.where(higher, (model[:, None] - model[:, :, None]).relu(), 0.0)
    return averaged(wrong.sum((1, 2)) / higher.sum((1, 2)).clamp(min=1), counts)


class Hint(GuidedLoss):
    """`CE + weight * contradiction of the ranking of cells to people's` (HINT), or its later form as a distance.

    Args:
        form: "ranking" (default) compares the ranking of the cells of the true class's raw class activation map, so
            the term is in units of the logit; "mse" is the mean squared difference of the true class's Grad-CAM and
            the human map, both min-max scaled, as HINT is often restated.
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over so many epochs; 0 = full from the start.
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
        """Scalar, not negative."""
        classes = true_class(batch.labels)
        counts = batch.annotated & has_class(classes)
        if self.form == "mse":
            return saliency_distance(output.grad_cam(classes), batch.saliency, counts)
        return ranking_violation(output.cam(classes), batch.saliency, counts)
