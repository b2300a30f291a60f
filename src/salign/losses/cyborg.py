"""CYBORG: cross-entropy plus the distance of the class activation map to the human saliency map."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from salign.checks import choice, number, tensors
from salign.losses.base import LossTerms, averaged, human_maps
from salign.losses.cross_entropy import cross_entropy
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, mean_over, predicted_class, true_class
from salign.maps import min_max
from salign.types import Batch, Output

CamClass = Literal["true", "predicted", "true_vs_rest"]
Penalty = Literal["mse", "l1"]


def saliency_distance(
    cam: Tensor, saliency: Tensor, annotated: Tensor | None = None, *, penalty: Penalty = "mse"
) -> Tensor:
    """Return how far the model's maps are from people's, as in CYBORG (arXiv 2112.00686, 2410.16190).

    The human map is brought to the size of the CAM, and both maps are min-max scaled per image. The mean squared (or
    absolute) difference over cells is then averaged over the annotated images. An image whose human map is missing,
    blank or all-equal has no shape to match and does not count. In the published code, such an image gives NaN or stops
    the training; wherever every image has a map, the result is that of the published code.

    Args:
        cam: `(B, h, w)`, raw.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.
        penalty: the maps are compared by "mse" (published) or "l1".

    Returns:
        Scalar in [0, 1]. If no image counts, it is a zero that still back-propagates.
    """
    choice("penalty", penalty, Penalty)
    human, counts = human_maps(saliency, annotated, cam=(cam, "float (B, h, w)"))
    difference = min_max(cam.float()) - human
    per_image = (difference.square() if penalty == "mse" else difference.abs()).mean((1, 2))
    return averaged(per_image, counts)


def cyborg(
    logits: Tensor,
    cam: Tensor,
    labels: Tensor,
    saliency: Tensor,
    annotated: Tensor | None = None,
    *,
    alpha: float = 0.5,
    penalty: Penalty = "mse",
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return `alpha * CE(logits, labels) + (1 - alpha) * distance(CAM, human map)`, the published loss.

    This function works in any training loop.

    Args:
        logits: `(B, K)`.
        cam: `(B, h, w)`, the map of the class whose evidence is to agree with people, with its autograd graph.
        labels: `(B,)` int64, or `(B, K)` zeros and ones where an image may have several labels.
        saliency: `(B, 1, H, W)` or `(B, H, W)` human maps.
        annotated: `(B,)` bool: which images have a map; None = all. The others contribute cross-entropy only.
        alpha: the cross-entropy has this share; 1 is plain cross-entropy.
        penalty: the maps are compared by "mse" (published) or "l1".
        class_weights: `(K,)` for the cross-entropy.

    Returns:
        Scalar.
    """
    tensors(logits=(logits, "float (B, K)"), cam=(cam, "float (B, h, w)"))
    number("alpha", alpha, "[0, 1]")
    ce = cross_entropy(logits, labels, class_weights)
    return alpha * ce + (1 - alpha) * saliency_distance(cam, saliency, annotated, penalty=penalty)


class Cyborg(GuidedLoss):
    """The loss of *Training Better Deep Learning Models Using Human Saliency*.

    With a dose, the loss is cross-entropy plus the weighted distance: the dose takes the place of `alpha`.

    Args:
        alpha: the cross-entropy has this share, in [0, 1]; 0.5 is published, 1 is plain cross-entropy and costs no
            more.
        cam_class: the map of this class is compared: "true" (default), "predicted" (the public WACV 2023 code), or
            "true_vs_rest", which is the true class's map minus the mean of the others'. Where images may have several
            labels, the mean over the true or the predicted classes is compared, and an image without a class does not
            count.
        penalty: the maps are compared by "mse" (published) or "l1".
        ramp_epochs: the saliency term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        cam_class: CamClass = "true",
        penalty: Penalty = "mse",
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(ramp_epochs=ramp_epochs, class_weights=class_weights)
        number("alpha", alpha, "[0, 1]")
        choice("cam_class", cam_class, CamClass)
        choice("penalty", penalty, Penalty)
        self.guided = alpha < 1
        self.alpha, self.cam_class, self.penalty = alpha, cam_class, penalty

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the distance of the maps, a scalar in [0, 1]."""
        classes = choose_classes(output.logits, batch.labels, self.cam_class)
        counts = batch.annotated & has_class(classes)
        return saliency_distance(output.cam(classes), batch.saliency, counts, penalty=self.penalty)

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Compute the loss of one batch."""
        if self.dose is not None:
            return super().forward(output, batch)
        ce = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        if self.alpha == 1:
            return LossTerms(ce, {"ce": ce.detach()})
        distance = self.term(output, batch)
        total = self.alpha * ce + (1 - self.alpha) * self.ramp * distance
        return LossTerms(total, {"ce": ce.detach(), "saliency": distance.detach()})


def choose_classes(logits: Tensor, labels: Tensor, cam_class: CamClass) -> Tensor:
    """Return what to ask `Output.cam` for: `(B,)` classes, or `(B, K)` coefficients.

    Coefficients are needed for "true_vs_rest" and for several labels per image. An image without a class to ask for
    gets zeros. If an image has every label, there is no rest to subtract.
    """
    if cam_class == "true":
        return true_class(labels)
    if cam_class == "predicted":
        return predicted_class(logits, multi_label=labels.dim() == 2)
    if labels.dim() == 2:
        return (mean_over(labels) - mean_over(labels == 0)) * (labels != 0).any(1, keepdim=True)
    classes = logits.shape[1]
    rest = torch.full(logits.shape, -1 / (classes - 1), device=logits.device)
    return rest.scatter(1, labels[:, None], 1.0)
