"""GAIN: what the network looked at is erased, and then it must not be able to tell the class any more."""

from __future__ import annotations

from torch import Tensor

from salign.checks import number, tensors
from salign.losses.base import averaged
from salign.losses.guided import GuidedLoss
from salign.losses.labels import check_answers, of_class, true_class
from salign.losses.views import log_answers, look_again
from salign.maps import min_max, resize, varies
from salign.types import Batch, Output


def erase(images: Tensor, maps: Tensor, *, omega: float = 10.0, sigma0: float = 0.5) -> Tensor:
    """`x - T(A) x` with the soft mask `T(A) = sigmoid(omega (A - sigma0))` (Li et al., CVPR 2018, arXiv 1802.10171).

    `A` is the map, min-max scaled per image here, then enlarged to the image's size (bilinear). What is erased is black
    in images of [0, 1]. The gradient flows into the map, through min and max too.

    Args:
        images: `(B, 3, H, W)`.
        maps: `(B, h, w)`, any scale.
        omega: the mask is as steep as this.
        sigma0: where the scaled map has this value, half is erased.

    Returns:
        `(B, 3, H, W)`.
    """
    tensors(images=(images, "float (B, 3, H, W)"), maps=(maps, "float (B, h, w)"))
    check_mask(omega, sigma0)
    scaled = resize(min_max(maps), (images.shape[2], images.shape[3]))
    mask = (omega * (scaled - sigma0)).sigmoid()
    return images * (1 - mask[:, None]).to(images.dtype)


def erased_score(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """How sure of the true class the network still is, seeing the erased images: the mean of its softmax score.

    Where images may have several labels, an image's score is the mean of the sigmoids of its classes.

    Args:
        logits: `(B, K)` of the erased images.
        labels: `(B,)` int64, or `(B, K)` zeros and ones.
        counts: `(B,)` bool: the images of which something was erased.

    Returns:
        Scalar in [0, 1]; a zero that back-propagates where no image counts.
    """
    check_answers(logits, labels)
    tensors(logits=(logits, "float (B, K)"), counts=(counts, "bool (B,)"))
    multi_label = labels.dim() == 2
    answers = log_answers(logits, multi_label=multi_label).exp()
    return averaged(of_class(answers[:, :, 1] if multi_label else answers[:, 0], true_class(labels)), counts)


class Gain(GuidedLoss):
    """`CE + weight * score of the true class on the image whose salient part is erased` (GAIN, arXiv 1802.10171).

    The salient part is the network's own, by Grad-CAM of the true class: human maps are not looked at. A step costs two
    of cross-entropy.

    Args:
        weight: the score is multiplied by it; the paper calls it alpha.
        omega: the soft mask is as steep as this; public code has 10 or 100.
        sigma0: where the scaled map has this value, half is erased; public code has 0.5 or 0.25.
        ramp_epochs: the term grows linearly from near zero over so many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"grad_cam", "second_view"})
    guided = False

    def __init__(
        self,
        *,
        weight: float = 1.0,
        omega: float = 10.0,
        sigma0: float = 0.5,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        check_mask(omega, sigma0)
        self.omega, self.sigma0 = omega, sigma0

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Scalar in [0, 1]."""
        maps = output.grad_cam(true_class(batch.labels))
        return mined(output, batch, maps, "gain", omega=self.omega, sigma0=self.sigma0)


def mined(output: Output, batch: Batch, maps: Tensor, loss: str, *, omega: float, sigma0: float) -> Tensor:
    """The score that is left when what `maps` `(B, h, w)` show is erased; images with a constant map do not count."""
    erased = erase(batch.images, maps, omega=omega, sigma0=sigma0)
    return erased_score(look_again(output, erased, loss).logits, batch.labels, varies(maps))


def check_mask(omega: float, sigma0: float) -> None:
    """Refuse a mask that is none."""
    number("omega", omega, "(0, inf)")
    number("sigma0", sigma0, "[0, 1]")
