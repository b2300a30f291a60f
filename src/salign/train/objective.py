"""The objective of a training: a loss, and the terms of other losses that are added to it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from salign.errors import SalignError
from salign.losses import GuidedLoss, Loss, LossTerms
from salign.types import Batch, Output


def adds_up(loss: type[Loss]) -> bool:
    """Return whether a loss is cross-entropy plus weighted terms, so that its terms can be added to another loss."""
    return issubclass(loss, GuidedLoss) and loss.forward is GuidedLoss.forward


class Objective(Loss):
    """A loss plus the weighted terms of other losses: `main + sum of weight * term`.

    Cross-entropy counts once, as the main loss has it. Each added loss keeps its own weight, options and ramp. In the
    log, a part of the main loss keeps its name. The term `saliency` of an added loss has the name of that loss, and its
    other terms are called `LOSS_TERM`.

    Args:
        main: Any loss.
        also: Name of a loss -> the loss whose terms are added.

    Raises:
        SalignError: The total of an added loss is something else than cross-entropy plus weighted terms.
    """

    def __init__(self, main: Loss, also: Mapping[str, Loss]) -> None:
        super().__init__()
        for name, loss in also.items():
            if not adds_up(type(loss)):
                raise SalignError(
                    f"loss {name} cannot be added to another: its total is not cross-entropy plus a weighted term. "
                    f"Make it the main loss (loss.name: {name}), and add the other to it."
                )
        self.main, self.also = main, nn.ModuleDict(also)
        parts = (main, *also.values())
        self.needs = frozenset().union(*(loss.needs for loss in parts))
        self.guided = any(loss.guided for loss in parts)

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Return the loss of one batch and its parts."""
        self.main.epoch = self.epoch
        total, parts = self.main(output, batch)
        for name, loss in self.also.items():
            assert isinstance(loss, GuidedLoss)
            loss.epoch = self.epoch
            for term, (weight, value) in loss.weighted_terms(output, batch).items():
                total = total + weight * value
                parts[_logged(name, term)] = value.detach()
                if isinstance(weight, Tensor):
                    parts[f"{_logged(name, term)}_weight"] = weight
        return LossTerms(total, parts)


def _logged(loss: str, term: str) -> str:
    return loss if term == "saliency" else f"{loss}_{term}"
