"""SAGE: an image should be nearer to a copy with the salient part kept than to one with that part destroyed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from salign.checks import number, tensors
from salign.losses.base import averaged, human_maps
from salign.losses.guided import GuidedLoss
from salign.losses.views import log_answers, look_again
from salign.maps.blend import blend, blurred
from salign.types import Batch, Output


def keep_and_destroy(
    images: Tensor, saliency: Tensor, annotated: Tensor | None = None, *, sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return two copies of each image, blurred where its human map is low and where it is high.

    Args:
        images: `(B, 3, H, W)`.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale; min-max scaled here.
        annotated: `(B,)` bool; None = all.
        sigma: standard deviation of the Gaussian in pixels, above 0.

    Returns:
        The copies with the salient part kept and with it destroyed, `(B, 3, H, W)` each, and `(B,)` bool: which images
        have a region. Images without a region are unchanged in both.
    """
    number("sigma", sigma, "(0, inf)")
    human, counts = human_maps(saliency, annotated, images=(images, "float (B, 3, H, W)"))
    rest = blurred(images, sigma)
    return blend(images, rest, human[:, None]), images.lerp(rest, human[:, None].to(images.dtype)), counts


def saliency_triplet(anchor: Tensor, positive: Tensor, negative: Tensor, counts: Tensor, *, margin: float) -> Tensor:
    """Return `max(0, |a - p|^2 - |a - n|^2 + margin)` on unit embeddings (Schroff et al. 2015, arXiv 1503.03832).

    Args:
        anchor: `(B, C)`, the embeddings `a` of the images; all embeddings are scaled to unit length here.
        positive: `(B, C)`, the embeddings `p` of the copies with the salient part kept.
        negative: `(B, C)`, the embeddings `n` of the copies with the salient part destroyed.
        counts: `(B,)` bool: which images have a region.
        margin: 0 or more.

    Returns:
        Scalar in [0, 4 + margin], the mean over the images that count. If no image counts, it is a zero that still
        back-propagates.
    """
    number("margin", margin, "[0, inf)")
    tensors(
        anchor=(anchor, "float (B, C)"),
        positive=(positive, "float (B, C)"),
        negative=(negative, "float (B, C)"),
        counts=(counts, "bool (B,)"),
    )
    anchor, positive, negative = (functional.normalize(embedding, dim=1) for embedding in (anchor, positive, negative))
    nearer = (anchor - positive).square().sum(1) - (anchor - negative).square().sum(1)
    return averaged((nearer + margin).relu(), counts)


def jensen_shannon(first: Tensor, second: Tensor, counts: Tensor, *, multi_label: bool = False) -> Tensor:
    """Return the Jensen-Shannon divergence of two answers, in nats, in [0, ln 2].

    It is symmetric, and differentiable in both answers.

    Args:
        first: `(B, K)` logits.
        second: `(B, K)` logits.
        counts: `(B,)` bool: which images count.
        multi_label: whether images may have several labels; the result is then the mean over classes of the divergence
            of yes and no.

    Returns:
        Scalar, the mean over the images that count. If no image counts, it is a zero that still back-propagates.
    """
    tensors(first=(first, "float (B, K)"), second=(second, "float (B, K)"), counts=(counts, "bool (B,)"))
    first_log, second_log = log_answers(first, multi_label=multi_label), log_answers(second, multi_label=multi_label)
    middle = torch.logaddexp(first_log, second_log) - math.log(2)
    apart = [
        functional.kl_div(middle, answer, reduction="none", log_target=True).sum(2).mean(1)
        for answer in (first_log, second_log)
    ]
    return averaged((apart[0] + apart[1]) / 2, counts)


class Sage(GuidedLoss):
    """`CE + weight * triplet + consistency * JS`, after SAGE (arXiv 2511.12744), of which only the abstract was read.

    Each image, annotated or not, gets two copies: one is blurred outside of the human region (kept), the other inside
    of it (destroyed). The network sees them in one further pass of twice the size, so that a step costs as much as
    three steps of cross-entropy. The embedding is the spatial mean of the last feature maps.

    Args:
        weight: the triplet term is multiplied by it.
        margin: the kept copy must be nearer than the destroyed one by this squared distance of unit embeddings.
        sigma: the blur has this standard deviation, as a share of the image's shorter side.
        consistency: the Jensen-Shannon divergence between the answers to the image and to its kept copy has this
            weight; 0 leaves it out.
        ramp_epochs: both terms grow linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"second_view"})

    def __init__(
        self,
        *,
        weight: float = 1.0,
        margin: float = 0.2,
        sigma: float = 0.05,
        consistency: float = 0.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        number("margin", margin, "[0, inf)")
        number("consistency", consistency, "[0, inf)")
        number("sigma", sigma, "(0, 1]")
        self.guided = weight > 0 or consistency > 0
        self.margin, self.sigma, self.consistency = margin, sigma, consistency

    def terms(self, output: Output, batch: Batch) -> dict[str, tuple[float, Tensor]]:
        """Return each weight and unweighted term: the triplet in [0, 4 + margin], the divergence in [0, ln 2]."""
        sigma = self.sigma * min(batch.images.shape[2:])
        salient, destroyed, counts = keep_and_destroy(batch.images, batch.saliency, batch.annotated, sigma=sigma)
        copies = look_again(output, torch.cat([salient, destroyed]), "sage")
        near, far = embeddings(copies.features).chunk(2)
        triplet = saliency_triplet(embeddings(output.features), near, far, counts, margin=self.margin)
        parts = {"saliency": (self.weight, triplet)}
        if self.consistency:
            answers = copies.logits[: len(salient)]
            parts["consistency"] = (
                self.consistency,
                jensen_shannon(output.logits, answers, counts, multi_label=batch.multi_label),
            )
        return parts


def embeddings(features: Tensor) -> Tensor:
    """Return the spatial mean `(B, C)` of features `(B, C, h, w)`, in float32 at least."""
    return features.to(torch.promote_types(features.dtype, torch.float32)).mean((2, 3))
