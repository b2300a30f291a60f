"""GRADIA: cross-entropy and L1 distance of Grad-CAM to the human map, weighted by whether each of them is right."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.checks import number, tensors
from salign.errors import SalignError
from salign.losses.base import LossTerms, averaged, human_maps
from salign.losses.cross_entropy import cross_entropies, cross_entropy
from salign.losses.guided import GuidedLoss
from salign.losses.labels import has_class, right, true_class
from salign.maps import min_max
from salign.types import Batch, Output

Weights = tuple[float, float]
"""Weights of the answer (cross-entropy) and of the attention (distance of the maps)."""


def overlap(cam: Tensor, human: Tensor) -> Tensor:
    """Return the intersection over union of the cells of at least one half, `(B,)` in [0, 1].

    Both maps are min-max scaled first.

    Args:
        cam: `(B, h, w)`.
        human: `(B, h, w)`; a constant map overlaps nothing.
    """
    tensors(cam=(cam, "float (B, h, w)"), human=(human, "float (B, h, w)"))
    model, people = min_max(cam) >= 0.5, min_max(human) >= 0.5
    return (model & people).sum((1, 2)) / (model | people).sum((1, 2)).clamp(min=1)


def gradia(
    logits: Tensor,
    grad_cam: Tensor,
    labels: Tensor,
    saliency: Tensor,
    annotated: Tensor | None = None,
    *,
    weights: Tensor,
    reasonable_overlap: float = 0.5,
    class_weights: Tensor | None = None,
    targets: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the two terms of GRADIA: weighted cross-entropy, and weighted L1 distance of Grad-CAM to the human map.

    The first is the mean of `t_i CE_i` over all images. The second is the mean of `m_i mean |M_i - H_i|` over the
    annotated images whose human map is not constant; `M` is Grad-CAM and `H` the human map, both min-max scaled. The
    weights `t_i` and `m_i` depend on the group of the image, see `Gradia`; `t_i` is 1 for images without a map. No
    gradient flows through the choice of the group.

    Args:
        logits: `(B, K)`.
        grad_cam: `(B, h, w)`, of the true class.
        labels: `(B,)` int64; or `(B, K)` zeros and ones, where an answer is accurate if it is right about every class.
        saliency: `(B, 1, H, W)` or `(B, H, W)`, any non-negative scale.
        annotated: `(B,)` bool; None = all.
        weights: `(2, 2, 2)`: [is reasonable, is accurate] -> (task weight, map weight).
        reasonable_overlap: attention is reasonable if its intersection over union with the human map is at least this.
        class_weights: `(K,)` for the cross-entropy.
        targets: `(B, K)` for the cross-entropy: how probable each class is; None = the labels are certain.

    Returns:
        Two scalars. If no image counts, the second is a zero that still back-propagates.
    """
    tensors(
        logits=(logits, "float (B, K)"), grad_cam=(grad_cam, "float (B, h, w)"), weights=(weights, "float (2, 2, 2)")
    )
    number("reasonable_overlap", reasonable_overlap, "[0, 1]")
    ce = cross_entropies(logits, labels, class_weights, targets)
    human, counts = human_maps(saliency, annotated, grad_cam=(grad_cam, "float (B, h, w)"))
    accurate = right(logits, labels)
    reasonable = overlap(grad_cam, human) >= reasonable_overlap
    task, attention = weights[reasonable.long(), accurate.long()].unbind(1)
    answers = torch.where(counts, task, 1.0) * ce
    return answers.mean(), averaged(attention * (min_max(grad_cam) - human).abs().mean((1, 2)), counts)


class Gradia(GuidedLoss):
    """`mean of task weight * CE + weight * mean of map weight * L1(Grad-CAM, human map)`, weighed per image (GRADIA).

    An annotated image falls into one of four groups by its answer (accurate or not) and its attention (reasonable or
    not), and each group has its weights. In the paper, which we know only from descriptions, people judge whether the
    attention is reasonable; here it is reasonable if Grad-CAM overlaps the human map. Grad-CAM is that of the true
    class, min-max scaled. The weights of two groups are published as examples; those of the other two are 1. Images
    without a map count with their plain cross-entropy.

    Args:
        reasonable_accurate: images with the right answer and reasonable attention have this (task weight, map weight).
        unreasonable_accurate: images with the right answer and unreasonable attention have these weights.
        reasonable_inaccurate: images with a wrong answer and reasonable attention have these weights.
        unreasonable_inaccurate: images with a wrong answer and unreasonable attention have these weights.
        reasonable_overlap: attention is reasonable if its intersection over union with the human map is at least this.
        weight: the maps' term is multiplied by it.
        ramp_epochs: the maps' term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"grad_cam"})
    takes_dose = False

    def __init__(
        self,
        *,
        reasonable_accurate: Weights = (1.0, 1.0),
        unreasonable_accurate: Weights = (0.4, 1.6),
        reasonable_inaccurate: Weights = (0.8, 0.2),
        unreasonable_inaccurate: Weights = (1.0, 1.0),
        reasonable_overlap: float = 0.5,
        weight: float = 1.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        groups = {
            "unreasonable_inaccurate": unreasonable_inaccurate,
            "unreasonable_accurate": unreasonable_accurate,
            "reasonable_inaccurate": reasonable_inaccurate,
            "reasonable_accurate": reasonable_accurate,
        }
        for name, pair in groups.items():
            if len(pair) != 2:
                raise SalignError(f"{name}: expected a task weight and a map weight, got {pair}.")
            number(f"{name}: task weight", pair[0], "[0, inf)")
            number(f"{name}: map weight", pair[1], "[0, inf)")
        number("reasonable_overlap", reasonable_overlap, "[0, 1]")
        self.guided = True  # even with a weight of 0: the groups' task weights depend on the maps
        self.reasonable_overlap = reasonable_overlap
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(list(groups.values())).view(2, 2, 2), persistent=False)

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Compute the loss of one batch; its parts are the plain cross-entropy and the weighted distance."""
        classes = true_class(batch.labels)
        answers, attention = gradia(
            output.logits,
            output.grad_cam(classes),
            batch.labels,
            batch.saliency,
            batch.annotated & has_class(classes),
            weights=self.weights,
            reasonable_overlap=self.reasonable_overlap,
            class_weights=self.class_weights,
            targets=batch.targets,
        )
        ce = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        return LossTerms(
            answers + self.weight * self.ramp * attention, {"ce": ce.detach(), "saliency": attention.detach()}
        )
