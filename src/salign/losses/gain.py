"""GAIN: the places that the network looked at are erased, and then it must not be able to tell the class."""

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
    """Return `x - T(A) x`, the images with the places of a map erased (Li et al., CVPR 2018, arXiv 1802.10171).

    The soft mask is `T(A) = sigmoid(omega (A - sigma0))`, where `A` is the map, min-max scaled per image and then
    enlarged to the image's size (bilinear). Erased places are black in images of [0, 1]. The gradient flows into the
    map, and also through its minimum and maximum.

    Args:
        images: `(B, 3, H, W)`.
        maps: `(B, h, w)`, any scale.
        omega: steepness of the mask.
        sigma0: value of the scaled map at which half is erased.

    Returns:
        `(B, 3, H, W)`.
    """
    tensors(images=(images, "float (B, 3, H, W)"), maps=(maps, "float (B, h, w)"))
    check_mask(omega, sigma0)
    scaled = resize(min_max(maps), (images.shape[2], images.shape[3]))
    mask = (omega * (scaled - sigma0)).sigmoid()
    return images * (1 - mask[:, None]).to(images.dtype)


def erased_score(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Return how sure of the true class the network still is on the erased images, its mean softmax score.

    Where images may have several labels, the score of an image is the mean of the sigmoids of its classes.

    Args:
        logits: `(B, K)` of the erased images.
        labels: `(B,)` int64, or `(B, K)` zeros and ones.
        counts: `(B,)` bool: the images in which something was erased.

    Returns:
        Scalar in [0, 1]. If no image counts, it is a zero that still back-propagates.
    """
    check_answers(logits, labels)
    tensors(logits=(logits, "float (B, K)"), counts=(counts, "bool (B,)"))
    multi_label = labels.dim() == 2
    answers = log_answers(logits, multi_label=multi_label).exp()
    return averaged(of_class(answers[:, :, 1] if multi_label else answers[:, 0], true_class(labels)), counts)


class Gain(GuidedLoss):
    """`CE + weight * score of the true class on the image whose salient part is erased` (GAIN, arXiv 1802.10171).

    The salient part is where the network's own Grad-CAM of the true class is high; human maps are not looked at. A step
    costs as much as two steps of cross-entropy.

    Args:
        weight: the score is multiplied by it; the paper calls it alpha.
        omega: the soft mask is as steep as this; public code takes 10 or 100.
        sigma0: half is erased where the scaled map has this value; public code takes 0.5 or 0.25.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
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
        """Return the score that is left of the true class, a scalar in [0, 1]."""
        maps = output.grad_cam(true_class(batch.labels))
        return mined(output, batch, maps, "gain", omega=self.omega, sigma0=self.sigma0)


def mined(output: Output, batch: Batch, maps: Tensor, loss: str, *, omega: float, sigma0: float) -> Tensor:
    """Return the score that is left when the places shown by `maps` `(B, h, w)` are erased.

    Images with a constant map do not count. `loss` is the name of the loss, for the message of an error.
    """
    erased = erase(batch.images, maps, omega=omega, sigma0=sigma0)
    return erased_score(look_again(output, erased, loss).logits, batch.labels, varies(maps))


def check_mask(omega: float, sigma0: float) -> None:
    """Refuse an `omega` that is not above 0, and a `sigma0` that is not in [0, 1]."""
    number("omega", omega, "(0, inf)")
    number("sigma0", sigma0, "[0, 1]")
