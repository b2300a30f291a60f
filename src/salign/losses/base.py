"""What every loss is: a plain function on tensors, and a thin module that says what it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from salign.types import Batch, Output


class LossTerms(NamedTuple):
    """A loss and what it is made of."""

    total: Tensor
    """Scalar to back-propagate."""
    parts: dict[str, Tensor]
    """Named scalars, unweighted and detached, for the log."""


class Loss(nn.Module, ABC):
    """Base of the modules in `LOSSES`: `loss(output, batch) -> LossTerms`."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """What the training loop must provide: `cam`, `grad_cam`, `input_gradient`."""

    class_weights: Tensor | None
    """`(K,)` for the cross-entropy, or None."""

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.epoch = 0
        """Epochs finished; the training loop sets it, schedules read it."""

    @abstractmethod
    def forward(self, output: Output, batch: Batch) -> LossTerms:
        """The loss of one batch."""
