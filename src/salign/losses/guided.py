"""What most guided losses are: cross-entropy plus a weighted term."""

from __future__ import annotations

from torch import Tensor

from salign.checks import number
from salign.losses.base import Loss, LossTerms
from salign.losses.cross_entropy import cross_entropy
from salign.types import Batch, Output


class GuidedLoss(Loss):
    """`CE + weight * term`, as most guided losses are; a subclass says what its `term` is, or, of several, its `terms`.

    Args:
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over so many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    def __init__(self, *, weight: float = 1.0, ramp_epochs: int = 0, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights=class_weights)
        number("weight", weight, "[0, inf)")
        number("ramp_epochs", ramp_epochs, "[0, inf)", whole=True)
        self.guided = self.guided and weight > 0
        self.weight, self.ramp_epochs = weight, ramp_epochs

    @property
    def ramp(self) -> float:
        """Share of the weight that counts in this epoch."""
        return min(1.0, (self.epoch + 1) / (self.ramp_epochs + 1))

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, unweighted."""
        raise NotImplementedError

    def terms(self, output: Output, batch: Batch) -> dict[str, tuple[float, Tensor]]:
        """Weight and unweighted scalar of each term, by its name in the log."""
        return {"saliency": (self.weight, self.term(output, batch))}

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """The loss of one batch."""
        ce = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        total, parts = ce, {"ce": ce.detach()}
        for name, (weight, value) in self.terms(output, batch).items():
            total, parts[name] = total + weight * self.ramp * value, value.detach()
        return LossTerms(total, parts)
