"""The base of all steps: `step(batch, model, epoch) -> batch`, with a memory that is kept when training is resumed."""

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

    A step does not use a random generator of its own. Its random choices follow from `batch.draw`, a number for each
    image that is a function of (seed, epoch, image), so that they depend neither on the batch nor on whether training
    was resumed. What a step remembers of an image is kept in a persistent buffer with a row for each training image, at
    the row `batch.index`; see `remember`.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """What the batch must have besides its usual fields: `draw`, a random number for each image."""
    guided: bool = False
    """Whether the step looks at human maps; this may depend on its options."""
    selects: ClassVar[bool] = False
    """Whether the step passes on only a part of the batch, whose share is then logged."""
    partners: float = 0.0
    """The probability with which an annotated image comes with another image, as `batch.partner`."""
    lender: Lender = "same_class"
    """The images from which that other image is drawn: of the same class, of another class, or any."""
    paint_over: bool = False
    """Whether what people marked on the other image is painted over; only images with a map are drawn then."""

    def remember(self, rows: int) -> None:
        """Make room for what is remembered of each training image; this is called once, before training.

        Args:
            rows: number of training images.
        """

    @abstractmethod
    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        """Return the batch as the next step and the loss are given it.

        Args:
            batch: a batch on the device of the model.
            model: the network that is trained, in training mode.
            epoch: number of finished epochs.
        """

    def learn(self, batch: Batch, epoch: int) -> None:
        """Remember what became of the batch after all steps.

        Args:
            batch: the batch after the last step, which the loss is given next.
            epoch: number of finished epochs.
        """


def for_steps(dataset: SaliencyDataset, steps: Sequence[Step], needs: frozenset[str] = frozenset()) -> SaliencyDataset:
    """Return the same samples with the further fields that the steps need.

    Args:
        dataset: the training set.
        steps: the steps of the training.
        needs: what something else needs of a batch, such as the loss; as `Step.needs`.
    """
    served = copy.copy(dataset)
    served.draws = "draw" in needs.union(*(step.needs for step in steps))
    lending = max(((step.partners, step.lender, step.paint_over) for step in steps), default=None)
    if lending is not None:
        served.partners, served.lender, served.paint_over = lending
    return served
