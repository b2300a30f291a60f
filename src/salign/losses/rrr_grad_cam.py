"""RRR-G: Right for the Right Reasons with Grad-CAM in the place of the input gradient."""

from __future__ import annotations

from torch import Tensor

from salign.checks import number
from salign.losses.base import averaged, human_maps
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, true_class
from salign.maps import min_max
from salign.types import Batch, Output


def grad_cam_outside(
    grad_cam: Tensor, saliency: Tensor, annotated: Tensor | None = None, *, clip: float | None = None
) -> Tensor:
    """Return `sum over cells of (A * Grad-CAM)^2` with `A = 1 - H`: the importance where people did not look.

    The loss follows Schramowski et al. 2020 (arXiv 2001.05371), as the typology of Friedrich et al. 2022 (arXiv
    2203.03668) describes it; neither full text was available. Two things are ours: the sum is averaged over the
    annotated images, and `clip` bounds what one image adds. The public code bounds the sum of the batch, which would
    depend on how the images are split into batches.

    Args:
        grad_cam: `(B, h, w)`, of the class that is explained.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.
        clip: an image adds at most this number, and has no gradient above it; None = no bound.

    Returns:
        Scalar of 0 or more. If no image counts, it is a zero that still back-propagates.
    """
    check_clip(clip)
    human, counts = human_maps(saliency, annotated, grad_cam=(grad_cam, "float (B, h, w)"))
    per_image = ((1 - human) * grad_cam).square().sum((1, 2))
    return averaged(per_image if clip is None else per_image.clamp(max=clip), counts)


def check_clip(clip: float | None) -> None:
    """Refuse a bound that is not above 0; None stands for no bound."""
    if clip is not None:
        number("clip", clip, "(0, inf)")


class RightReasonsGradCam(GuidedLoss):
    """`CE + weight * squared Grad-CAM of the true class in the cells where people did not look`.

    Args:
        scaled: the Grad-CAM of each image is min-max scaled first, as in the public code: the term then depends on
            where the importance lies, and not on its size.
        clip: an image adds at most this number to the term, and has no gradient above it; None = no bound.
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"grad_cam"})

    def __init__(
        self,
        *,
        scaled: bool = False,
        clip: float | None = None,
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        check_clip(clip)
        self.scaled, self.clip = scaled, clip

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the squared Grad-CAM outside of the region, a scalar of 0 or more."""
        classes = true_class(batch.labels)
        grad_cam = output.grad_cam(classes)
        if self.scaled:
            grad_cam = min_max(grad_cam)
        return grad_cam_outside(grad_cam, batch.saliency, batch.annotated & has_class(classes), clip=self.clip)
