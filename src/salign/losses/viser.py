"""VISER: CYBORG whose share of the cross-entropy is computed from the two terms themselves in every step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from salign.checks import choice, tensors
from salign.collectives import together
from salign.losses.base import Loss, LossTerms, averaged, human_maps
from salign.losses.cross_entropy import cross_entropy
from salign.losses.cyborg import choose_classes
from salign.losses.labels import has_class
from salign.losses.smoothing import convolve, gaussian
from salign.maps import min_max
from salign.types import Batch, Output

CamClass = Literal["true", "predicted"]
STABILISER = 1e-8


def smoothed_distance(cam: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """Return CYBORG's distance to a human map that a 3 x 3 Gaussian has smoothed (arXiv 2603.17859, its code).

    The human map is brought to the size of the CAM, smoothed, and min-max scaled; the CAM is min-max scaled. The
    distance is the mean squared difference over cells.

    Args:
        cam: `(B, h, w)`, raw.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.

    Returns:
        Scalar in [0, 1], the mean over the annotated images whose human map is not constant. If no image counts, it is
        a zero that still back-propagates.
    """
    human, counts = human_maps(saliency, annotated, cam=(cam, "float (B, h, w)"))
    people = min_max(convolve(human, gaussian().to(human.device)))
    return averaged((min_max(cam) - people).square().mean((1, 2)), counts)


def blend_terms(ce: Tensor, distance: Tensor, *, detach: bool = False) -> tuple[Tensor, Tensor]:
    """Return `alpha CE + (1 - alpha) MSE` with the `alpha` of VISER (arXiv 2603.17859, its code).

    The two terms decide it: `alpha = CE / (CE + MSE + 1e-8)`.

    Args:
        ce: scalar, the cross-entropy.
        distance: scalar, the mean squared difference. If it is zero, as without any map, the loss is plain `CE`.
        detach: whether `alpha` is taken as a constant. The published code does not detach it, and then the derivative
            by `MSE` is negative while `MSE < (sqrt(2) - 1) CE`: early in training, maps are pushed away from people's.

    Returns:
        The loss, and `1 - alpha` (without a graph), which is 0 where `MSE` is.
    """
    tensors(ce=(ce, "float ()"), distance=(distance, "float ()"))
    alpha = ce / (ce + distance + STABILISER)
    if detach:
        alpha = alpha.detach()
    some = distance > 0
    loss = torch.where(some, alpha * ce + (1 - alpha) * distance, ce)
    return loss, torch.where(some, 1 - alpha.detach(), 0.0)


class Viser(Loss):
    """CYBORG with a smoothed human map and `alpha = CE / (CE + MSE)` in every step, as in VISER.

    Args:
        cam_class: the map of this class is compared: "predicted" (default, published) or "true"; see `Cyborg` for
            several labels per image.
        detach: `True` takes alpha as a constant. The published code does not detach it, and then maps are pushed away
            from people's as long as the squared difference is below 0.41 times the cross-entropy.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def __init__(
        self, *, cam_class: CamClass = "predicted", detach: bool = False, class_weights: Tensor | None = None
    ) -> None:
        super().__init__(class_weights=class_weights)
        choice("cam_class", cam_class, CamClass)
        self.cam_class, self.detach = cam_class, detach

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Compute the loss of one batch; its part `share` is `1 - alpha`, 0 where no image has a map."""
        ce = together(cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets))
        classes = choose_classes(output.logits, batch.labels, self.cam_class)
        counts = batch.annotated & has_class(classes)
        distance = together(smoothed_distance(output.cam(classes), batch.saliency, counts))
        total, share = blend_terms(ce, distance, detach=self.detach)
        return LossTerms(total, {"ce": ce.detach(), "saliency": distance.detach(), "share": share})
