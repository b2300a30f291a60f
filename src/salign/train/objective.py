"""What a stage minimises: a loss, and the terms of other losses that are added to it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from salign.errors import SalignError
from salign.losses import GuidedLoss, Loss, LossTerms
from salign.types import Batch, Output


def adds_up(loss: type[Loss]) -> bool:
    """Whether a loss is cross-entropy plus weighted terms, so that its terms can be added to another loss."""
    return issubclass(loss, GuidedLoss) and loss.forward is GuidedLoss.forward


class Objective(Loss):
    """The total of a loss plus the weighted terms of others: `main + sum of weight * term`.

    Cross-entropy counts once, as the main loss has it. Each added loss keeps its own weight, options and ramp. A part
    of the main loss keeps its name in the log; an added term has the name of its loss, and of a loss with several terms
    the others are called `LOSS_TERM`.

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
        """The loss of one batch."""
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
