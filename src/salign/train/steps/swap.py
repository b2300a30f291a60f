"""Region swap: training images whose surroundings come from another image of the same class."""

from __future__ import annotations

from typing import Any

import torch

from salign.checks import number
from salign.maps.blend import blend
from salign.train.steps.base import Step
from salign.types import Batch


class Swap(Step):
    """What people marked is put into the surroundings of another image: `w * image + (1 - w) * other`.

    `w` is the min-max scaled map. Surroundings that say nothing of the class together with the region teach a network
    not to lean on them; taken from the same class, they do not contradict the label either. The plain relative of
    background randomisation (Xiao et al. 2021, arXiv 2006.09994, take them from any class). An image whose map is
    missing, blank or all-equal, or that is alone in its class, stays as it is. A second image is read for each.

    Args:
        probability: With this probability an annotated image is shown in other surroundings.
    """

    guided = True

    def __init__(self, *, probability: float = 1.0) -> None:
        super().__init__()
        number("probability", probability, "[0, 1]")
        self.partners = probability

    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        """The batch with some of its images in other surroundings."""
        if batch.partner is None:  # a probability of 0
            return batch
        finite = batch.partner.isfinite().flatten(1).all(1).view(-1, 1, 1, 1)
        swapped = blend(batch.images, batch.partner, batch.saliency)
        return batch._replace(images=torch.where(finite, swapped, batch.images), partner=None)
