"""The step `blur`, as in *Human-Aided Saliency Maps*: training images are blurred outside of what people marked."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from salign.errors import SalignError
from salign.maps.blend import blend, blurred
from salign.train.steps.base import Step
from salign.types import Batch

PUBLISHED = (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0)
"""The published standard deviations of the Gaussian, in pixels."""


def blur_outside(images: Tensor, saliency: Tensor, sigma: float) -> Tensor:
    """Blur images where their maps are low: `w * image + (1 - w) * blurred`, where `w` is the min-max scaled map.

    This is the baseline of Boyd, Bowyer and Czajka, *Human-Aided Saliency Maps Improve Generalization of Deep Learning*
    (WACV 2022, arXiv 2105.03492). It puts what people marked into the images and trains with cross-entropy.

    Args:
        images: `(..., 3, H, W)` float32 in [0, 1].
        saliency: `(..., 1, H, W)` float32 on any scale. A blank or all-equal map marks no region: its image is
            unchanged.
        sigma: the standard deviation of the Gaussian in pixels, above 0.

    Returns:
        `(..., 3, H, W)` float32 in [0, 1].
    """
    return blend(images, blurred(images, sigma), saliency)


class Blur(Step):
    """Annotated images are shown as they are, or blurred outside of their map by one of several widths, equally often.

    Args:
        sigmas: The Gaussian has one of these standard deviations in pixels; 2, 4, ..., 16 are published.
    """

    needs = frozenset({"draw"})
    guided = True

    def __init__(self, *, sigmas: tuple[float, ...] = PUBLISHED) -> None:
        super().__init__()
        if not sigmas or not all(0 < sigma < math.inf for sigma in sigmas):
            raise SalignError(f"blur: sigmas are above 0 pixels; got {', '.join(map(str, sigmas)) or 'none'}")
        self.sigmas = tuple(sigmas)

    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        """Return the batch with some of its images blurred."""
        assert batch.draw is not None
        chosen = torch.where(batch.annotated, batch.draw % (len(self.sigmas) + 1), 0)
        images = batch.images.clone()
        for number, sigma in enumerate(self.sigmas, 1):
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                images[rows] = blur_outside(images[rows], batch.saliency[rows], sigma)
        return batch._replace(images=images)
