"""The step `select`, informed selection: the network learns from the part of each batch that teaches it most."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from salign.checks import number, tensors
from salign.evaluate.agreement import energy
from salign.losses.cross_entropy import cross_entropies
from salign.losses.labels import has_class, true_class
from salign.models.running import evaluation_mode
from salign.train.steps.base import Step
from salign.types import Batch


def largest(scores: Tensor, share: float, groups: Tensor | None = None) -> Tensor:
    """Find the positions of the images with the largest scores.

    Args:
        scores: `(B,)` floating point without NaN.
        share: the share of the batch to take, in (0, 1]. The number of images is rounded up; it is at least two if
            there are as many, because batch norm needs two.
        groups: `(B,)` bool, which splits the batch into two groups whose scores cannot be compared. The same share of
            each group is taken, as nearly as rounding allows. None means that all images are one group.

    Returns:
        `(n,)` int64 positions, ascending.
    """
    tensors(scores=(scores, "float (B,)"), groups=(groups, "bool (B,) or None"))
    number("share", share, "(0, 1]")
    count = min(len(scores), max(2, math.ceil(share * len(scores) - 1e-9)))
    ranks = torch.zeros_like(scores, dtype=torch.float64)
    for group in (torch.ones_like(scores, dtype=torch.bool),) if groups is None else (groups, ~groups):
        members = group.nonzero()[:, 0]
        order = members[scores[members].argsort(descending=True, stable=True)]
        ranks[order] = (torch.arange(len(order), device=scores.device) + 0.5).double() / max(1, len(order))
    return ranks.argsort(stable=True)[:count].sort().values


class Select(Step):
    """Only a share of each batch goes on to the loss.

    This follows *Adversarial training with informed data selection* (Mendonça et al. 2022, arXiv 2301.04472), which
    takes the images with the highest cross-entropy; the share and the other ways to select are ours. The network
    answers in evaluation mode, without gradient. If this step stands before a step `attack`, only selected images are
    attacked; if it stands behind it, the answers to the attacked images decide. Selection by cross-entropy prefers
    images whose label is wrong. Each of several processes selects from its own part of the batch.

    Args:
        share: This share of each batch is selected, and at least two images are.
        by: "cross_entropy" selects the images that are answered worst, and "random" selects at random. "disagreement"
            selects the images whose evidence for the true class lies outside of people's map most, by the energy-based
            pointing game. The same share of the images without a map is then selected by cross-entropy.
    """

    needs = frozenset({"draw"})
    selects = True

    def __init__(
        self,
        *,
        share: float = 0.5,
        by: Literal["cross_entropy", "random", "disagreement"] = "cross_entropy",
    ) -> None:
        super().__init__()
        number("share", share, "(0, 1]")
        self.share, self.by = share, by
        self.guided = by == "disagreement"

    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        """Return the batch of the selected images, in their order."""
        rows = largest(*self._scores(batch, model))
        return batch.each(lambda values: values[rows])

    @torch.no_grad()
    def _scores(self, batch: Batch, model: Any) -> tuple[Tensor, float, Tensor | None]:
        """Return the arguments of `largest`: scores, share and groups."""
        if self.by == "random":
            assert batch.draw is not None
            return batch.draw.double(), self.share, None
        with evaluation_mode(model):
            output = model(batch.images)
            losses = cross_entropies(output.logits, batch.labels, targets=batch.targets)
            if self.by == "cross_entropy":
                return losses, self.share, None
            classes = true_class(batch.labels)
            outside = 1 - energy(output.cam(classes).float(), batch.saliency[:, 0])
        compared = batch.marked & has_class(classes) & outside.isfinite()
        return torch.where(compared, outside.to(losses), losses), self.share, compared
