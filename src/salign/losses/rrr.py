"""Right for the Right Reasons: the answer must not change with pixels where people did not look."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from salign.checks import choice
from salign.losses.base import averaged, human_maps, input_gradient
from salign.losses.guided import GuidedLoss
from salign.losses.views import log_answers
from salign.types import Batch, Output

Form = Literal["squared", "l1", "cosine"]


def gradient_outside(
    gradient: Tensor, saliency: Tensor, annotated: Tensor | None = None, *, form: Form = "squared"
) -> Tensor:
    """Return how far an input gradient `g` lies where people did not look, `A = 1 - H`.

    "squared" is `sum over pixels and colours of (A g)^2`, the right-reasons term of Ross et al. 2017 (arXiv
    1703.03717). "l1" is `sum of A |g|`. "cosine" is the cosine between `A` and `sum over colours of |g|`, after the
    variant of Reveal2Revise (public code); it depends on where the gradient lies, but not on how large it is.

    Three things are ours: `A` is soft where the human map is; the sum is averaged over the annotated images (published:
    summed over all images); and colours of opposite sign do not cancel in the cosine (in the public code they do).

    Args:
        gradient: `(B, 3, H, W)`, the gradient of whatever is explained.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.
        form: "squared", "l1" or "cosine".

    Returns:
        Scalar of 0 or more, with "cosine" in [0, 1]. If no image counts, it is a zero that still back-propagates.
    """
    choice("form", form, Form)
    human, counts = human_maps(saliency, annotated, gradient=(gradient, "float (B, 3, H, W)"))
    outside = (1 - human)[:, None]
    if form == "squared":
        return averaged((outside * gradient).square().sum((1, 2, 3)), counts)
    if form == "l1":
        return averaged((outside * gradient.abs()).sum((1, 2, 3)), counts)
    strength, outside = gradient.abs().sum(1).flatten(1), outside.flatten(1)
    peak = strength.detach().amax(1, keepdim=True)  # cancels out; it keeps squares from underflow
    strength = strength / torch.where(peak > 0, peak, 1.0)
    length = torch.linalg.vector_norm(strength, dim=1) * torch.linalg.vector_norm(outside, dim=1)
    return averaged((strength * outside).sum(1) / torch.where(length > 0, length, 1.0), counts)


class RightReasons(GuidedLoss):
    """`CE + weight * squared gradient of all classes' log-probabilities by the pixels where people did not look`.

    The gradient is that of `sum over classes of log p`, as published. Where images may have several labels, it is that
    of the log-probabilities of yes and no, summed over classes. The term is a sum over pixels, and its size depends on
    network and image: choose `weight` so that both terms are of similar size.

    Args:
        form: "squared" is published and "l1" sums absolute values; "cosine" lies in [0, 1] and depends on where the
            gradient lies, not on its size.
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"input_gradient"})
    takes_dose = False

    def __init__(
        self,
        *,
        form: Form = "squared",
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        choice("form", form, Form)
        self.form = form

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the gradient outside of the region, a scalar of 0 or more."""
        gradient = input_gradient(log_answers(output.logits, multi_label=batch.multi_label), batch, "rrr")
        return gradient_outside(gradient, batch.saliency, batch.annotated, form=self.form)
