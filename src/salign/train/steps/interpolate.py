"""The step `interpolate`: mixup, and mixup guided by whether an attack fooled the network in the epoch before."""

from __future__ import annotations

from typing import Any, Literal

import torch
from scipy.stats import beta
from torch import Tensor, distributed

from salign.checks import number
from salign.collectives import gathered, processes
from salign.losses.changes import mixup, neighbours, random_numbers
from salign.losses.labels import target_of
from salign.train.steps.base import Step
from salign.types import Batch


class Interpolate(Step):
    """Each image is mixed with another image of the batch, and so are their labels.

    This is mixup (Zhang et al. 2018, arXiv 1710.09412), except that the image itself always has at least half of the
    weight. The mixed image keeps the label and the map of this image for all terms that look at maps; the cross-entropy
    takes the mixed label.

    With the method "gif", only *guarded* images are mixed: images for which the attack of the epoch before did not find
    a wrong answer, neither alone nor mixed with another image. All other images are *attackable*. They are shown as
    they are, so that attackable images make up more of what is learned. The method needs a step `attack` behind this
    one, whose last look decides. It is **experimental**: only the abstract of the published method was at hand (Chen et
    al. 2021, *Guided Interpolation for Adversarial Training*, arXiv 2102.07327), and the rule is a guess.

    Args:
        method: "mixup" mixes every image, "gif" only the guarded ones.
        alpha: The weight of mixup is drawn from Beta(alpha, alpha); with 1, all weights are equally likely.
        labels: "soft" mixes the labels; "hard" leaves each image its own label. With "gif", soft labels mix half and
            half, and hard labels go with a weight that is uniform from 0.5 to 1.
    """

    needs = frozenset({"draw"})
    fooled: Tensor
    partners_of: Tensor

    def __init__(
        self,
        *,
        method: Literal["mixup", "gif"] = "mixup",
        alpha: float = 1.0,
        labels: Literal["soft", "hard"] = "soft",
    ) -> None:
        super().__init__()
        number("alpha", alpha, "(0, inf)")
        self.method, self.alpha, self.labels = method, alpha, labels

    def remember(self, rows: int) -> None:
        """With "gif", make room for each image's last epoch in which it was fooled, and for its last partner."""
        if self.method == "gif":
            self.register_buffer("fooled", torch.full((rows,), -1))
            self.register_buffer("partners_of", torch.arange(rows), persistent=False)

    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        """Return the batch with all images, or the guarded ones, mixed; in the first epoch, all are attackable."""
        assert batch.draw is not None
        (lenders, mine), (draws, _) = gathered(batch.images), gathered(batch.draw)
        partners, weight = neighbours(draws)[mine], self._weight(batch.draw)
        if self.method == "gif":
            attackable = self.fooled[batch.index] >= epoch - 1
            weight = torch.where(attackable, 1.0, weight)
            self.partners_of[batch.index] = torch.where(attackable, batch.index, gathered(batch.index)[0][partners])
        mixed = batch._replace(images=mixup(batch.images, lenders[partners], weight))
        if self.labels == "hard":
            return mixed
        targets = target_of(batch.labels, len(model.classes), batch.targets)
        weight = weight[:, None]
        return mixed._replace(targets=weight * targets + (1 - weight) * gathered(targets)[0][partners])

    def learn(self, batch: Batch, epoch: int) -> None:
        """Note which images were fooled; if a mixed image was, both images that it is made of were."""
        if self.method == "gif" and batch.fooled is not None:
            wrong = batch.index[batch.fooled]
            self.fooled[wrong] = self.fooled[self.partners_of[wrong]] = epoch
            if processes() > 1:
                distributed.all_reduce(self.fooled, distributed.ReduceOp.MAX)

    def _weight(self, draw: Tensor) -> Tensor:
        """Return `(B,)` float32 in [0.5, 1]: the weight of the image itself in each mixed image."""
        uniform = random_numbers(draw, 1)[:, 0]
        if self.method == "gif":
            return 0.5 + 0.5 * uniform if self.labels == "hard" else torch.full_like(uniform, 0.5)
        weight = torch.from_numpy(beta.ppf(uniform.cpu().double().numpy(), self.alpha, self.alpha)).to(uniform)
        return torch.maximum(weight, 1 - weight)
