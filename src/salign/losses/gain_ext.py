"""GAIN with people's maps: the same as GAIN, and Grad-CAM is drawn to where people looked."""

from __future__ import annotations

from torch import Tensor

from salign.checks import number
from salign.losses.cyborg import saliency_distance
from salign.losses.gain import check_mask, mined
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, true_class
from salign.types import Batch, Output


class GainExt(GuidedLoss):
    """`CE + alpha * score of the erased image + weight * distance of Grad-CAM and human map` (GAIN_ext, 1802.10171).

    The second term is that of the loss `gain`, over all images. The third is the mean squared difference over the cells
    of both maps, each min-max scaled, over annotated images. A step costs as much as two steps of cross-entropy.

    Args:
        weight: the distance to the human map is multiplied by it.
        alpha: the score of the erased image is multiplied by it; with 0 there is no second forward pass.
        omega: the soft mask is as steep as this; public code takes 10 or 100.
        sigma0: half is erased where the scaled map has this value; public code takes 0.5 or 0.25.
        ramp_epochs: both terms grow linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"grad_cam", "second_view"})
    of_all_images = frozenset({"ce", "mining"})

    def __init__(
        self,
        *,
        weight: float = 1.0,
        alpha: float = 1.0,
        omega: float = 10.0,
        sigma0: float = 0.5,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        check_mask(omega, sigma0)
        number("alpha", alpha, "[0, inf)")
        self.alpha, self.omega, self.sigma0 = alpha, omega, sigma0
        if not alpha:
            self.needs = frozenset({"grad_cam"})  # nothing is erased, and no image is looked at again

    def terms(self, output: Output, batch: Batch) -> dict[str, tuple[float, Tensor]]:
        """Return the weight and the unweighted scalar of each term; each scalar is in [0, 1]."""
        classes = true_class(batch.labels)
        maps = output.grad_cam(classes)
        counts = batch.annotated & has_class(classes)
        parts = {"saliency": (self.weight, saliency_distance(maps, batch.saliency, counts))}
        if self.alpha:
            score = mined(output, batch, maps, "gain_ext", omega=self.omega, sigma0=self.sigma0)
            parts["mining"] = (self.alpha, score)
        return parts
