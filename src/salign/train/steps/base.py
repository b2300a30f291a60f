"""What every step is: `step(batch, model, epoch) -> batch`, with a memory that survives a resumed training."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.lenders import Lender
from salign.types import Batch


class Step(nn.Module, ABC):
    """Base of the modules in `STEPS`.

    A step draws nothing by itself: what is random in it follows from `batch.draw`, a number for each image that is a
    function of (seed, epoch, image), so that neither the batch nor a resumed training changes it. What it remembers of
    an image lies in a persistent buffer with a row for each training image, at `batch.index`; see `remember`.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """What the batch must have besides its usual fields: `draw`, a random number for each image."""
    guided: bool = False
    """Whether human maps are looked at; options may decide it."""
    selects: ClassVar[bool] = False
    """Whether only a part of the batch goes on; its share is logged."""
    partners: float = 0.0
    """The probability with which an annotated image comes with another image, as `batch.partner`."""
    lender: Lender = "same_class"
    """Which images that other one is drawn from."""
    paint_over: bool = False
    """Whether what people marked on the other image is painted over; it is then one of those with a map."""

    def remember(self, rows: int) -> None:
        """Make room for what is remembered of each training image; called once, before training.

        Args:
            rows: number of training images.
        """

    @abstractmethod
    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        """The batch as the loss and the next step see it.

        Args:
            batch: on the device of the model.
            model: what is trained; in training mode.
            epoch: epochs finished.
        """

    def learn(self, batch: Batch, epoch: int) -> None:
        """Remember what became of the batch.

        Args:
            batch: what the last step made of it, which the loss looks at next.
            epoch: epochs finished.
        """


def for_steps(dataset: SaliencyDataset, steps: Sequence[Step], needs: frozenset[str] = frozenset()) -> SaliencyDataset:
    """The same samples with what the steps need besides, and what else needs it, such as a loss."""
    served = copy.copy(dataset)
    served.draws = "draw" in needs.union(*(step.needs for step in steps))
    lending = max(((step.partners, step.lender, step.paint_over) for step in steps), default=None)
    if lending is not None:
        served.partners, served.lender, served.paint_over = lending
    return served
