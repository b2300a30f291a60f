"""The step `attack`, adversarial training: images are changed a little so that the network answers badly."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from salign.checks import number
from salign.evaluate.attack import allowed_region, check_ball, pgd, random_start
from salign.losses.changes import random_numbers
from salign.losses.cross_entropy import cross_entropies
from salign.losses.labels import contradicts
from salign.models.running import evaluation_mode
from salign.train.steps.base import Step
from salign.types import Batch


class Attack(Step):
    """Each image is attacked before the network learns from it.

    Projected gradient steps raise the cross-entropy (Madry et al. 2018, arXiv 1706.06083). The network is in evaluation
    mode meanwhile, and its weights get no gradient. The attack changes pixels in [0, 1], because the network normalises
    them itself. If only a region is attacked, an image whose map is missing or blank is not changed, as in the other
    steps that look at maps: nobody said where its region ends. An epoch costs `steps + 1` forward and backward passes
    of each image. The answers before the last gradient step cost nothing extra: the share of wrong ones among them is
    logged as `train/fooled`, and a step `interpolate` learns from them.

    Args:
        epsilon: The perturbation has at most this size, in units of 1/255, the step from one 8-bit value to the next.
        step_size: A gradient step has this length, in the same unit; null means 2.5 times epsilon divided by `steps`.
        steps: The attack takes this many gradient steps.
        norm: "linf" bounds the largest change of a value, "l2" the Euclidean length of the change of the whole image.
        region: The attack changes "all" of the image, or only what lies "outside" or "inside" of people's map.
        random_start: With true, the attack begins at a random change within its limits, else at the image itself.
    """

    needs = frozenset({"draw"})

    def __init__(
        self,
        *,
        epsilon: float = 8.0,
        step_size: float | None = None,
        steps: int = 7,
        norm: Literal["linf", "l2"] = "linf",
        region: Literal["all", "outside", "inside"] = "all",
        random_start: bool = True,
    ) -> None:
        super().__init__()
        number("epsilon", epsilon, "(0, inf)")
        number("steps", steps, "[1, inf)", whole=True)
        check_ball(epsilon=epsilon, steps=steps, step_size=step_size, norm=norm)
        self.epsilon, self.step_size, self.steps, self.norm = epsilon, step_size, steps, norm
        self.region, self.random_start = region, random_start
        self.guided = region != "all"

    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        """Return the batch with its images attacked; `fooled` tells for which the last look found a wrong answer."""
        assert batch.draw is not None
        images, within, start = batch.images, allowed_region(batch.saliency, batch.marked, self.region), None
        if self.random_start:
            numbers = random_numbers(batch.draw, images[0].numel()).view_as(images)
            start = random_start(numbers, epsilon=self.epsilon, norm=self.norm, within=within)
        fooled = torch.zeros_like(batch.annotated)

        def loss(attacked: Tensor) -> Tensor:
            logits = model(attacked).logits
            fooled.copy_(contradicts(logits.detach(), batch.labels, batch.targets))
            return cross_entropies(logits, batch.labels, targets=batch.targets)

        with evaluation_mode(model):
            attacked = pgd(
                loss,
                images,
                epsilon=self.epsilon,
                steps=self.steps,
                step_size=self.step_size,
                norm=self.norm,
                within=within,
                start=start,
            )
        return batch._replace(images=attacked, fooled=fooled)
