"""Reaction time: a wrong answer costs more where people looked longer."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.checks import number, tensors, values
from salign.losses.base import Loss, LossTerms
from salign.losses.cross_entropy import cross_entropies, cross_entropy
from salign.losses.cyborg import saliency_distance
from salign.losses.labels import has_class, right, true_class
from salign.types import Batch, Output


def timed_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    seconds: Tensor | None = None,
    *,
    factor: float = 0.1,
    class_weights: Tensor | None = None,
    targets: Tensor | None = None,
) -> Tensor:
    """Return the mean cross-entropy, in which wrong answers cost more where people looked longer.

    The cross-entropy `CE_i` of a wrong answer is multiplied by `factor * seconds_i` (public code,
    dulayjm/CYBORG-Loss-RT-mod). Unlike in that code, an image whose time is unknown counts with its plain
    cross-entropy, whatever the answer. A sister version of the code adds the seconds instead, `CE_i + seconds_i`. That
    is a constant, which changes no gradient, so it is no option here.

    Args:
        logits: `(B, K)`.
        labels: `(B,)` int64; or `(B, K)` zeros and ones, where an answer is wrong if it is wrong about any class.
        seconds: `(B,)`, NaN where unknown; None = unknown for all images.
        factor: weight per second; with 0.1, as published, a wrong answer costs its plain cross-entropy at ten seconds.
        class_weights: `(K,)` for the cross-entropy.
        targets: `(B, K)` for the cross-entropy: how probable each class is; None = the labels are certain.

    Returns:
        Scalar.
    """
    number("factor", factor, "[0, inf)")
    tensors(logits=(logits, "float (B, K)"), seconds=(seconds, "float (B,) or None"))
    ce = cross_entropies(logits, labels, class_weights, targets)
    if seconds is None:
        return ce.mean()
    values("seconds", seconds.masked_fill(seconds.isnan(), 0), "[0, inf)")
    timed = ~right(logits, labels) & seconds.isfinite()
    return (torch.where(timed, factor * seconds, 1.0) * ce).mean()


class ReactionTime(Loss):
    """CYBORG whose cross-entropy of wrong answers is multiplied by how long people looked (public code, no paper).

    The loss is `alpha * mean of w_i CE_i + (1 - alpha) * distance(CAM of the true class, human map)`;
    `timed_cross_entropy` defines the weights `w_i`. The seconds come from the column that `data.seconds_column` names;
    without it this is CYBORG.

    Args:
        factor: a wrong answer's cross-entropy is multiplied by this times the seconds; 0.1 is published.
        alpha: the cross-entropy has this share, in [0, 1]; with 1 no map is used.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"cam"})

    def __init__(self, *, factor: float = 0.1, alpha: float = 0.5, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights=class_weights)
        number("factor", factor, "[0, inf)")
        number("alpha", alpha, "[0, 1]")
        self.guided = alpha < 1
        self.factor, self.alpha = factor, alpha

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Compute the loss of one batch; its part `ce` is the plain cross-entropy."""
        ce = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        timed = timed_cross_entropy(
            output.logits,
            batch.labels,
            batch.seconds,
            factor=self.factor,
            class_weights=self.class_weights,
            targets=batch.targets,
        )
        classes = true_class(batch.labels)
        distance = saliency_distance(output.cam(classes), batch.saliency, batch.annotated & has_class(classes))
        total = self.alpha * timed + (1 - self.alpha) * distance
        return LossTerms(total, {"ce": ce.detach(), "saliency": distance.detach()})
