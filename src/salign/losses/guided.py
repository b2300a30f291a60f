"""The base class of most guided losses: cross-entropy plus a weighted term."""

from __future__ import annotations

import torch
from torch import Tensor

from salign.checks import number
from salign.losses.base import Loss, LossTerms
from salign.losses.cross_entropy import cross_entropy
from salign.losses.dose import Dose, views_of
from salign.types import Batch, Output


class GuidedLoss(Loss):
    """Base class of losses `CE + weight * term`; a subclass defines its `term`, or its `terms` if there are several.

    If the loss has a `dose`, the dose decides in every step by how much all terms are multiplied.

    Args:
        weight: the term is multiplied by it.
        ramp_epochs: the term grows linearly from near zero over this many epochs; 0 = full from the start.
        class_weights: `(K,)` for the cross-entropy.
    """

    takes_dose = True
    dose: Dose | None
    """The module that chooses the weight of the terms, or None; it is set before training, as a teacher is."""

    def __init__(self, *, weight: float = 1.0, ramp_epochs: int = 0, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights=class_weights)
        number("weight", weight, "[0, inf)")
        number("ramp_epochs", ramp_epochs, "[0, inf)", whole=True)
        self.guided = self.guided and weight > 0
        self.weight, self.ramp_epochs, self.dose = weight, ramp_epochs, None

    @property
    def ramp(self) -> float:
        """Share of the weight that counts in this epoch, in (0, 1]."""
        return min(1.0, (self.epoch + 1) / (self.ramp_epochs + 1))

    def term(self, output: Output, batch: Batch) -> Tensor:
        """Return the unweighted term, a scalar."""
        raise NotImplementedError

    def terms(self, output: Output, batch: Batch) -> dict[str, tuple[float, Tensor]]:
        """Return the weight and the unweighted scalar of each term, by its name in the log."""
        return {"saliency": (self.weight, self.term(output, batch))}

    def weighted_terms(self, output: Output, batch: Batch) -> dict[str, tuple[float | Tensor, Tensor]]:
        """Return `terms` with the weights of this step, multiplied by the ramp and as the dose asks."""
        if self.dose is None:
            return {name: (weight * self.ramp, value) for name, (weight, value) in self.terms(output, batch).items()}
        output, features = views_of(output)
        terms = self.terms(output, batch)
        ce = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        factor = self.dose(ce, torch.stack([weight * value for weight, value in terms.values()]).sum(), features)
        return {name: (factor * weight * self.ramp, value) for name, (weight, value) in terms.items()}

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """Compute the loss of one batch; with a dose, its parts contain the weight of each term, too."""
        ce = cross_entropy(output.logits, batch.labels, self.class_weights, batch.targets)
        total, parts = ce, {"ce": ce.detach()}
        for name, (weight, value) in self.weighted_terms(output, batch).items():
            total, parts[name] = total + weight * value, value.detach()
            if isinstance(weight, Tensor):
                parts[f"{name}_weight"] = weight
        return LossTerms(total, parts)
