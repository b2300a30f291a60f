"""Distillation on images and on changed copies of them, so that a small student inherits where its teacher looks."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from salign.checks import choice, number
from salign.collectives import gathered
from salign.losses.changes import add_noise, cutmix, draws_of, mixup, neighbours, random_numbers
from salign.losses.distill import distillation, taught
from salign.losses.guided import GuidedLoss
from salign.losses.swap import swap_regions
from salign.losses.views import look_again
from salign.types import Batch, Output

Change = Literal["cutmix", "fused", "noise", "swap"]
NOISE = 0.15
"""The standard deviation of the noise, as published."""


class Okd(GuidedLoss):
    """`CE + weight * KD(images) + changed_weight * KD(changed images)`, after OKD (arXiv 2209.07521, eq. 1).

    `KD` is `T^2 KL(teacher || student)` as in `distill`. On images that no camera took, the teacher shows which part of
    an image its answer comes from, and the student learns that, too. If the teacher was guided by people's maps, the
    student inherits where to look without any maps. The published weights of the three terms are .1, .9 and .9; the
    defaults 1, 9 and 9 are these, ten times as large. A step costs two passes of the student and two of the teacher.
    Unlike in the public code, the running statistics of the student's batch norm learn from unchanged images alone, and
    no image is overwritten.

    Args:
        change: Images are changed in this way: "cutmix" puts a box of another image into each image; "fused" mixes the
            result with a third image; "noise" adds Gaussian noise; "swap" puts the region that people marked into
            another image's surroundings, and is the only change that needs maps.
        temperature: Logits are divided by this number before the softmax; 4 is published.
        weight: The divergence on the images has this weight beside the cross-entropy.
        changed_weight: The divergence on the changed images has this weight.
        ramp_epochs: Both terms grow linearly from near zero over this many epochs; 0 means full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    needs = frozenset({"teacher", "second_view", "draw"})
    of_all_images = frozenset({"ce", "saliency", "changed"})

    def __init__(
        self,
        *,
        change: Change = "cutmix",
        temperature: float = 4.0,
        weight: float = 9.0,
        changed_weight: float = 9.0,
        ramp_epochs: int = 0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(weight=weight, ramp_epochs=ramp_epochs, class_weights=class_weights)
        choice("change", change, Change)
        number("temperature", temperature, "(0, inf)")
        number("changed_weight", changed_weight, "[0, inf)")
        self.change, self.temperature, self.changed_weight = change, temperature, changed_weight
        self.guided = change == "swap" and changed_weight > 0

    def terms(self, output: Output, batch: Batch) -> dict[str, tuple[float, Tensor]]:
        """Return the weight and the unweighted divergence, on the images and on the changed images."""
        changed = change_images(batch, self.change)
        second = look_again(output, changed, "okd").logits
        return {
            "saliency": (self.weight, self._divergence(output.logits, batch.images, batch.multi_label)),
            "changed": (self.changed_weight, self._divergence(second, changed, batch.multi_label)),
        }

    def _divergence(self, logits: Tensor, images: Tensor, multi_label: bool) -> Tensor:
        """Return how far the student's logits `(B, K)` are from the teacher's answers to these images, 0 or more."""
        target = taught(self.teacher, images, "okd")
        return distillation(logits, target, temperature=self.temperature, multi_label=multi_label)


def change_images(batch: Batch, change: Change) -> Tensor:
    """Return changed copies of the images of a batch, `(B, 3, H, W)` in [0, 1].

    Args:
        batch: a batch with `draw`, from which everything random follows.
        change: see `Okd`.
    """
    draw, images = draws_of(batch), batch.images.detach()
    if change == "swap":
        return swap_regions(images, batch.labels, batch.saliency, batch.annotated, batch.index)[0]
    if change == "noise":
        return add_noise(images, draw, NOISE)
    numbers = random_numbers(draw, 4)
    (lenders, mine), (draws, _) = gathered(images), gathered(draw)
    mixed = cutmix(images, lenders[neighbours(draws)[mine]], numbers[:, :3])
    return mixed if change == "cutmix" else mixup(mixed, lenders[neighbours(draws, 2)[mine]], numbers[:, 3])
