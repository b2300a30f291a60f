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
    """Split each logit over the cells: `(B, K, h, w)` and `(B, h, w)` in [0, 1] -> outside and inside, `(B, K)` each.

    With a linear head on the spatial mean, `outside + inside + bias = logit`: both parts are means over cells, of
    `(1 - H) CAM` and of `H CAM`.
    """
    tensors(cams=(cams, "float (B, K, h, w)"), human=(human, "float (B, h, w)"))
    inside = (human[:, None] * cams).mean((2, 3))
    return cams.mean((2, 3)) - inside, inside


def decomposition_outside(cams: Tensor, saliency: Tensor, annotated: Tensor | None = None) -> Tensor:
    """`mean over classes of softmax([outside, inside])_0`, the penalty of Rieger et al. 2020 (arXiv 1909.13584).

    There the two parts come from a contextual decomposition of the whole network, as of `decompose`. Here it starts at
    the last feature maps, from which on the network is linear and the decomposition exact; what earlier layers mixed
    between the places stays mixed. The bias belongs to no place and is left out. The region is soft where the human map
    is.

    Args:
        cams: `(B, K, h, w)`, raw, of all classes.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.

    Returns:
        Scalar in [0, 1], mean over the annotated images; a zero that still back-propagates if none counts.
    """
    human, counts = human_maps(saliency, annotated, cams=(cams, "float (B, K, h, w)"))
    outside, inside = parts_of_logits(cams, human)
    return part_outside(outside, inside, counts)


def part_outside(outside: Tensor, inside: Tensor, counts: Tensor) -> Tensor:
    """Scalar in [0, 1]: `softmax([outside, inside])_0`, `(B, K)` each, over the classes and the images that count."""
    return averaged((outside - inside).sigmoid().mean(1), counts)


class Cdep(GuidedLoss):
    """`CE + weight * share of all logits' parts that comes from outside of the human region`.

    Args:
        decomposes: with "head" (default) only the last layers are split, for networks with a linear head on the spatial
            mean; with "network" every layer is, as published, for networks of convolutions, batch norm, ReLU, pooling
            and sums (ResNet, DenseNet, VGG, Inception, EfficientNet-Lite). Other networks are refused.
        weight: the share is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over so many epochs; 0 = full from the start.
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
        """Scalar in [0, 1]."""
        # From the pixels through every layer: a second forward pass on images that know their part outside of the
        # region.
        if self.decomposes == "network":
            region, counts = human_maps(batch.saliency, batch.annotated, images=(batch.images, "float (B, 3, H, W)"))
            outside, inside = decompose(
                lambda images: look_again(output, images, "cdep").logits, batch.images, 1 - region
            )
            return part_outside(at_least_float32(outside), at_least_float32(inside), counts)
        # From the last feature maps: there the logit is a sum over cells, so the maps of all classes are its parts.
        if output.weight is None:
            raise SalignError(
                "cdep needs a network whose logits are sums over places: a linear head on the spatial mean, as ResNet, "
                "DenseNet and EfficientNet have. Take one of these as the backbone, loss.decomposes: network (VGG), or "
                "another loss, such as evidence."
            )
        every = torch.arange(output.logits.shape[1], device=output.logits.device).expand(len(output.logits), -1)
        return decomposition_outside(output.cam(every), batch.saliency, batch.annotated)
