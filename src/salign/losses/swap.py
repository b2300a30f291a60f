"""Background randomisation as an added term: the answer must stay the same in the surroundings of another image.

Training on images with the background of another image is Mixed-Rand of Xiao et al. 2021 (*Noise or Signal: The Role of
Image Backgrounds in Object Recognition*, arXiv 2006.09994). Three things are ours: the unchanged image goes through the
network, too; the other image is of another class; and a map decides softly what belongs to the region.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import choice, tensors
from salign.collectives import gathered
from salign.losses.base import averaged, human_maps
from salign.losses.cross_entropy import over_classes
from salign.losses.guided import GuidedLoss
from salign.losses.labels import check_answers
from salign.losses.views import log_answers, look_again
from salign.maps.blend import blend
from salign.types import Batch, Output

Form = Literal["ce", "kl"]


def partners(labels: Tensor, index: Tensor) -> Tensor:
    """Choose for each image another image whose surroundings it gets: `(B,)` positions in the batch.

    The images are sorted by label and then by manifest row. The partner of an image stands a number of places further
    on, and the first image follows the last. The number is at least the size of the largest class, and at most the
    number of images of all other classes, so that the partner is of another class. Which of these numbers it is, is
    decided by the sum of the rows, so that two classes do not always meet. If more than half of the batch is of one
    class, the number is half of the batch, and this class partly meets itself. Nothing is drawn, and the order of the
    batch does not matter. Where images may have several labels, images with the same labels are of one class.

    Args:
        labels: `(B,)` int64, or `(B, K)` zeros and ones.
        index: `(B,)` int64, rows of the manifest.
    """
    several = isinstance(labels, Tensor) and labels.dim() == 2
    tensors(labels=(labels, "real (B, K)" if several else "int64 (B,)"), index=(index, "int64 (B,)"))
    if several:
        labels = labels.unique(dim=0, return_inverse=True)[1]
    order = index.argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]
    batch = len(order)
    largest = (labels[:, None] == labels).sum(1).amax()
    low, high = largest.clamp(max=batch // 2), (batch - largest).clamp(min=batch // 2)
    further = low + index.sum() % (high - low + 1)
    partner = torch.empty_like(order)
    partner[order] = order[(torch.arange(batch, device=order.device) + further) % batch]
    return partner


def swap_regions(
    images: Tensor, labels: Tensor, saliency: Tensor, annotated: Tensor | None, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Put each image's region into the surroundings of its partner, `H * image + (1 - H) * partner`.

    The training step `swap` mixes images in the same way.

    Args:
        images: `(B, 3, H, W)`.
        labels: `(B,)` int64, or `(B, K)` zeros and ones.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale; min-max scaled here.
        annotated: `(B,)` bool; None = all.
        index: `(B,)` int64, rows of the manifest.

    Returns:
        The mixed images, `(B, 3, H, W)`, and `(B,)` bool: which images have a region. An image without a region is
        unchanged.
    """
    tensors(images=(images, "float (B, 3, H, W)"), index=(index, "int64 (B,)"))
    human, counts = human_maps(saliency, annotated, images=(images, "float (B, 3, H, W)"))
    lenders, mine = gathered(images)
    partner = partners(gathered(labels)[0], gathered(index)[0])[mine]
    return blend(images, lenders[partner], human[:, None]), counts


def swap_consistency(
    second: Tensor,
    labels: Tensor,
    counts: Tensor,
    first: Tensor | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return how far the answers to the swapped images are from the labels, or from the answers to the images.

    Args:
        second: `(B, K)` logits of the swapped images.
        labels: `(B,)` int64; or `(B, K)` zeros and ones, where each class is a yes or no of its own.
        counts: `(B,)` bool: which images have a region.
        first: `(B, K)` logits of the images themselves: the result is then `KL(softmax(first) || softmax(second))`,
            with `first` held fixed. With None, it is the cross-entropy of `second` and the labels.
        class_weights: `(K,)`: each image is multiplied by the weight of its class; where images may have several
            labels, the weights weight the mean over classes.

    Returns:
        Scalar of 0 or more, the mean over the images that count. If no image counts, it is a zero that still
        back-propagates.
    """
    check_answers(second, labels, class_weights)
    tensors(second=(second, "float (B, K)"), counts=(counts, "bool (B,)"), first=(first, "float (B, K) or None"))
    multi_label = labels.dim() == 2
    answers = log_answers(second, multi_label=multi_label)
    if first is None:
        target = labels.long() if multi_label else labels[:, None]
        apart = -answers.gather(2, target[:, :, None])[:, :, 0]
    else:
        before = log_answers(first.detach(), multi_label=multi_label)
        apart = functional.kl_div(answers, before, reduction="none", log_target=True).sum(2)
    if multi_label:
        return averaged(over_classes(apart, class_weights), counts)
    per_image = apart[:, 0] if class_weights is None else apart[:, 0] * class_weights[labels]
    return averaged(per_image, counts)


class Swap(GuidedLoss):
    """`CE + weight * (CE, or KL, of the region in another image's surroundings)`: Mixed-Rand as an added term.

    Xiao et al. 2021 (arXiv 2006.09994) train on the changed images alone, as the step `swap` does, and paint the object
    out of the other image first. Here the images themselves are learned from, too, which is this project's addition.

    All images of the batch go through the network a second time, annotated or not, so that a step always costs as much
    as two steps of cross-entropy. Only images with a region count in the term.

    Args:
        weight: the term is multiplied by it.
        form: with "ce" the swapped image must get its label; with "kl" it must get the answer to the image itself,
            right or wrong, which is held fixed.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy and the term.
    """

    needs = frozenset({"second_view"})

    def __init__(
        self,
        *,
        weight: float = 1.0,
        form: Form = "ce",
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        choice("form", form, Form)
        self.form = form

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the distance of the answers, a scalar of 0 or more."""
        views, counts = swap_regions(batch.images, batch.labels, batch.saliency, batch.annotated, batch.index)
        second = look_again(output, views, "swap").logits
        first = output.logits if self.form == "kl" else None
        return swap_consistency(second, batch.labels, counts, first, self.class_weights)
