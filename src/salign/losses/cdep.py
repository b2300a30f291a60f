"""CDEP: the part of each logit that comes from outside of the human region must not outweigh the part from inside."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from salign.checks import choice, tensors
from salign.errors import SalignError
from salign.losses.base import at_least_float32, averaged, human_maps
from salign.losses.decomposition import decompose
from salign.losses.guided import GuidedLoss
from salign.losses.views import look_again
from salign.types import Batch, Output

Decomposes = Literal["head", "network"]


def parts_of_logits(cams: Tensor, human: Tensor) -> tuple[Tensor, Tensor]:
    """Split each logit into its part from outside and its part from inside of the human region.

    With a linear head on the spatial mean, `outside + inside + bias = logit`. The parts are the means over cells of
    `(1 - H) CAM` and of `H CAM`.

    Args:
        cams: `(B, K, h, w)`, the class activation maps of all classes.
        human: `(B, h, w)` in [0, 1], the human maps `H`.

    Returns:
        The parts from outside and from inside, `(B, K)` each.
    """
    tensors(cams=(cams, "float (B, K, h, w)"), human=(human, "float (B, h, w)"))
    inside = (human[:, None] * cams).mean((2, 3))
    return cams.mean((2, 3)) - inside, inside


def decomposition_outside(cams: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """Return the penalty of CDEP on the part of the logits from outside of the human region (arXiv 1909.13584).

    The penalty of Rieger et al. 2020 is the mean over classes of `softmax([outside, inside])_0`. In the paper, the two
    parts come from a contextual decomposition of the whole network, as `decompose` computes it. Here the decomposition
    starts at the last feature maps. The network is linear from there on, so that the decomposition is exact, but what
    earlier layers mixed between places stays mixed. The bias belongs to no place and is left out. The region is soft
    where the human map is.

    Args:
        cams: `(B, K, h, w)`, raw, of all classes.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.

    Returns:
        Scalar in [0, 1], the mean over the annotated images whose human map is not constant. If no image counts, it is
        a zero that still back-propagates.
    """
    human, counts = human_maps(saliency, annotated, cams=(cams, "float (B, K, h, w)"))
    outside, inside = parts_of_logits(cams, human)
    return part_outside(outside, inside, counts)


def part_outside(outside: Tensor, inside: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of `softmax([outside, inside])_0` over the classes and the images that count, in [0, 1].

    Args:
        outside: `(B, K)`, the part of each logit from outside of the region.
        inside: `(B, K)`, the part of each logit from inside of the region.
        counts: `(B,)` bool: which images count.
    """
    return averaged((outside - inside).sigmoid().mean(1), counts)


class Cdep(GuidedLoss):
    """`CE + weight * share of all logits' parts that comes from outside of the human region`.

    Args:
        decomposes: with "head" (default) only what follows the last feature maps is split, which needs a linear head on
            the spatial mean; with "network" every layer is split, as published, which needs a network of convolutions,
            batch norm, ReLU, pooling and sums (ResNet, DenseNet, VGG, Inception, EfficientNet-Lite). Other networks are
            refused.
        weight: the share is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam", "linear_head"})

    def __init__(
        self,
        *,
        decomposes: Decomposes = "head",
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        choice("decomposes", decomposes, Decomposes)
        self.decomposes = decomposes
        if decomposes == "network":
            self.needs, self.takes_dose = frozenset({"second_view"}), False

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the penalty on the parts from outside of the region, a scalar in [0, 1]."""
        # Every layer is split, from the pixels on: a second forward pass on images that carry their part outside of the
        # region.
        if self.decomposes == "network":
            region, counts = human_maps(batch.saliency, batch.annotated, images=(batch.images, "float (B, 3, H, W)"))
            outside, inside = decompose(
                lambda images: look_again(output, images, "cdep").logits, batch.images, 1 - region
            )
            return part_outside(at_least_float32(outside), at_least_float32(inside), counts)
        # Only the head is split: the logit is a sum over the cells of the last feature maps, so the CAMs are its parts.
        if output.weight is None:
            raise SalignError(
                "cdep needs a network whose logits are sums over places: a linear head on the spatial mean, as ResNet, "
                "DenseNet and EfficientNet have. Take one of these as the backbone, loss.decomposes: network (VGG), or "
                "another loss, such as evidence."
            )
        every = torch.arange(output.logits.shape[1], device=output.logits.device).expand(len(output.logits), -1)
        return decomposition_outside(output.cam(every), batch.saliency, batch.annotated)
