"""What most guided losses are: cross-entropy plus a weighted term."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.checks import number
from salign.losses.base import Loss, LossTerms
from salign.losses.cross_entropy import cross_entropy
from salign.losses.dose import Dose, views_of
from salign.types import Batch, Output


class GuidedLoss(Loss):
    """`CE + weight * term`, as most guided losses are; a subclass says what its `term` is, or, of several, its `terms`.

    Where it was given a `dose`, that decides in every step by how much all its terms are multiplied.

    Args:
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over so many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    takes_dose = True
    dose: Dose | None
    """What chooses the weight; given before training, as a teacher is."""

    def __init__(self, *, weight: float = 1.0, ramp_epochs: int = 0, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights=class_weights)
        number("weight", weight, "[0, inf)")
        number("ramp_epochs", ramp_epochs, "[0, inf)", whole=True)
        self.guided = self.guided and weight > 0
        self.weight, self.ramp_epochs, self.dose = weight, ramp_epochs, None

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

    def weighted_terms(self, output: Output, batch: Batch) -> dict[str, tuple[float | Tensor, Tensor]]:
        """As `terms`, with the weights that count in this step: with the ramp, and multiplied as the dose asks."""
        if self.dose is None:
            return {name: (weight * self.ramp, value) for name, (weight, value) in self.terms(output, batch).items()}
        output, features = views_of(output)
        terms = self.terms(output, batch)
        ce = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        factor = self.dose(ce, torch.stack([weight * value for weight, value in terms.values()]).sum(), features)
        return {name: (factor * weight * self.ramp, value) for name, (weight, value) in terms.items()}

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """The loss of one batch; with a dose, the log has the weight of each term, too."""
        ce = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        total, parts = ce, {"ce": ce.detach()}
        for name, (weight, value) in self.weighted_terms(output, batch).items():
            total, parts[name] = total + weight * value, value.detach()
            if isinstance(weight, Tensor):
                parts[f"{name}_weight"] = weight
        return LossTerms(total, parts)
