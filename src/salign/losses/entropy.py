"""Losses on the entropy of maps: how widely the model's evidence is spread, and how widely people look."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from salign.checks import tensors
from salign.collectives import together
from salign.losses.base import averaged, human_maps
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, true_class
from salign.maps import min_max, sum_to_one, varies
from salign.types import Batch, Output


def map_entropy(maps: Tensor) -> Tensor:
    """Return the entropy `-sum of p log p` of each map (arXiv 2303.00818, public code).

    `p` is the map, min-max scaled and divided by its sum.

    Args:
        maps: `(B, h, w)`, raw.

    Returns:
        `(B,)` in [0, log(h w)], natural logarithm. A constant map is spread out evenly: its entropy is log(h w),
        without a gradient. The public code does not have this case.
    """
    tensors(maps=(maps, "float (B, h, w)"))
    shares = sum_to_one(min_max(maps))
    positive = shares > 0
    entropy = -(shares * torch.where(positive, shares, 1.0).log()).sum((1, 2))
    return torch.where(varies(maps), entropy, math.log(maps.shape[1] * maps.shape[2]))


def entropy_gap(cam: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """Return `(mean H of the model's maps - mean H of people's maps)^2`, as in HBCAM (arXiv 2303.00818, its code).

    `H` is `map_entropy`; the human map is brought to the size of the CAM. Both means run over the annotated images
    whose human map is not constant; with several processes, over the images of all of them.

    Args:
        cam: `(B, h, w)`, raw.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.

    Returns:
        Scalar in [0, log(h w)^2]. If no image counts, it is a zero that still back-propagates.
    """
    human, counts = human_maps(saliency, annotated, cam=(cam, "float (B, h, w)"))
    return together(averaged(map_entropy(cam) - map_entropy(human), counts)).square()


class Droid(GuidedLoss):
    """`CE + weight * mean of log(1 + entropy of the true class's map)`; human saliency is not looked at (DROID).

    Args:
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})
    guided = False

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the mean of `log(1 + entropy)`, a scalar of 0 or more."""
        classes = true_class(batch.labels)
        return averaged(map_entropy(output.cam(classes)).log1p(), has_class(classes))


class Fmmce(GuidedLoss):
    """`CE + weight * mean entropy of the true class's map`; human saliency is not looked at (FMMCE).

    Args:
        weight: the entropy is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})
    guided = False

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the mean entropy, a scalar in [0, log(h w)]."""
        classes = true_class(batch.labels)
        return averaged(map_entropy(output.cam(classes)), has_class(classes))


class Hbcam(GuidedLoss):
    """`CE + weight * squared difference of the mean entropies of the true class's maps and of people's` (HBCAM).

    Args:
        weight: the squared difference is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the squared difference of the mean entropies, a scalar of 0 or more."""
        classes = true_class(batch.labels)
        return entropy_gap(output.cam(classes), batch.saliency, batch.annotated & has_class(classes))
