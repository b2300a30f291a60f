"""The step `swap`: training images are shown in the surroundings of another image."""

from __future__ import annotations

from typing import Any

import torch

from salign.checks import choice, number
from salign.data.reading.lenders import Lender
from salign.maps.blend import blend
from salign.train.steps.base import Step
from salign.types import Batch


class Swap(Step):
    """What people marked is put into the surroundings of another image: `w * image + (1 - w) * other`.

    Here `w` is the min-max scaled map. Surroundings that tell nothing about the class teach a network not to rely on
    them; if they come from an image of the same class, they do not contradict the label either. This is background
    randomisation (Xiao et al. 2021, *Noise or Signal*, arXiv 2006.09994). With `paint_over`, it corresponds to their
    Mixed-Same if the other image is of the same class, and to Mixed-Rand if it may be any image. They cut the object
    out by its mask and tile the background over the hole. Here, the object is painted over with the colours around it,
    by `salign.maps.region.surroundings`, and another image is drawn each time that an image is shown. An image whose
    map is missing, blank or all-equal, or for which no other image qualifies, is shown as it is. A second image is read
    for each image that is swapped.

    Args:
        probability: With this probability an annotated image is shown in other surroundings.
        lender: They come from another image of the "same_class", of an "other_class", or from "any" other image.
        paint_over: The marked region of the other image is painted over first, so that its object does not come along;
            then only images with a map lend their surroundings.
    """

    guided = True

    def __init__(self, *, probability: float = 1.0, lender: Lender = "same_class", paint_over: bool = False) -> None:
        super().__init__()
        number("probability", probability, "[0, 1]")
        choice("lender", lender, Lender)
        self.partners, self.lender, self.paint_over = probability, lender, paint_over

    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        """Return the batch with some of its images in other surroundings."""
        if batch.partner is None:  # if the probability is 0
            return batch
        finite = batch.partner.isfinite().flatten(1).all(1).view(-1, 1, 1, 1)
        swapped = blend(batch.images, batch.partner, batch.saliency)
        return batch._replace(images=torch.where(finite, swapped, batch.images), partner=None)
