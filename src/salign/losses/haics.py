"""HAICS: cross-entropy of Grad-CAM against the human map, cell by cell."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from salign.checks import choice
from salign.losses.base import averaged, human_maps
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, true_class
from salign.losses.model_guidance import SURE
from salign.maps import min_max
from salign.types import Batch, Output

Cells = Literal["all", "marked"]


def cell_cross_entropy(
    grad_cam: Tensor, saliency: Tensor, annotated: Tensor | None = None, *, cells: Cells = "all"
) -> Tensor:
    """Return the binary cross-entropy of the model's map against people's (HAICS, as public code of RES restates it).

    It is the mean over the annotated cells of `-(H log M + (1 - H) log(1 - M))`. `M` is the min-max scaled Grad-CAM,
    kept within [`SURE`, 1 - `SURE`], and `H` is the human map at its size. In HAICS, people mark relevant and
    irrelevant pixels and leave the others open. Here a map describes the whole image, so all of its cells are
    annotated; with "marked", only the cells where it is not zero are. The public code averages over all pixels before
    it masks.

    Args:
        grad_cam: `(B, h, w)`, of the true class.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.
        cells: "all" or "marked".

    Returns:
        Scalar in [0, -log `SURE`]: the mean over the annotated images whose human map is not constant. If no image
        counts, it is a zero that still back-propagates.
    """
    choice("cells", cells, Cells)
    human, counts = human_maps(saliency, annotated, grad_cam=(grad_cam, "float (B, h, w)"))
    model = min_max(grad_cam).clamp(SURE, 1 - SURE)
    surprise = -(human * model.log() + (1 - human) * (1 - model).log())
    weight = torch.ones_like(human) if cells == "all" else (human > 0).float()
    return averaged((weight * surprise).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1), counts)


class Haics(GuidedLoss):
    """`CE + weight * cross-entropy of the true class's Grad-CAM against the human map, over annotated cells` (HAICS).

    Args:
        cells: with "all" (default) all cells of an annotated image count; with "marked" only the cells that people
            marked count, and the others say nothing.
        weight: the cross-entropy of cells is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"grad_cam"})

    def __init__(
        self,
        *,
        cells: Cells = "all",
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        choice("cells", cells, Cells)
        self.cells = cells

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the cross-entropy of the cells, a scalar of 0 or more."""
        classes = true_class(batch.labels)
        counts = batch.annotated & has_class(classes)
        return cell_cross_entropy(output.grad_cam(classes), batch.saliency, counts, cells=self.cells)
