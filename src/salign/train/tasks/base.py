"""The interface between the training loop and a task, so that one loop trains everything."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from salign.data.reading.dataset import SaliencyDataset
from salign.losses import LossTerms
from salign.train.prepare import Prepared
from salign.train.steps import Step
from salign.types import Batch

Say = Callable[[str], None]


class Selection(NamedTuple):
    """The rule by which the epoch is chosen whose weights are kept."""

    monitor: str | None
    """The logged metric that decides; None keeps the last epoch."""
    ties: str
    """Which of several equally good epochs is kept, "first" or "last"."""
    lowest: bool
    """Whether the lowest value is the best; else the highest is."""


class Task(nn.Module, ABC):
    """A network, the loss of a batch, and what validation measures; see `salign.train.module.Training`."""

    network: Any
    """The network: a module that can `save` itself into a folder."""
    image_size: tuple[int, int]
    """(H, W) of the images that the network takes."""
    needs: frozenset[str] = frozenset()
    """What a batch must have besides its usual fields, as `Step.needs`: `draw`, a random number for each image."""
    memory_format: torch.memory_format = torch.contiguous_format
    """The memory format in which images are given to the network."""

    @classmethod
    @abstractmethod
    def build(cls, recipe: Any, data: Prepared, say: Say) -> Self:
        """Build the network and its loss as a recipe describes them.

        Args:
            recipe: the recipe of this task.
            data: the datasets of the run.
            say: called with each line for the user.

        Raises:
            SalignError: network, loss and data do not fit together.
        """

    @classmethod
    @abstractmethod
    def rows(cls, recipe: Any, data: Prepared, say: Say) -> Prepared:
        """Return the datasets reduced to the images that this task can learn from and be measured on.

        Args:
            recipe: the recipe of this task.
            data: the datasets that the recipe names.
            say: called with each line for the user, which tells how many images there are.

        Raises:
            SalignError: there are no images to learn from, or none to measure on.
        """

    @classmethod
    @abstractmethod
    def selection(cls, recipe: Any) -> Selection:
        """Return the rule by which the epoch to keep is chosen."""

    def cache(
        self,
        train: SaliencyDataset,
        val: SaliencyDataset,
        steps: Sequence[Step],
        folder: Path,
        say: Say,
        *,
        device: str,
        workers: int | str,
    ) -> tuple[SaliencyDataset, SaliencyDataset]:
        """Return the training and the validation set as the network is given them.

        A task may override this, to compute once, into `folder`, what is the same in every epoch.
        """
        return train, val

    @abstractmethod
    def forward(self, batch: Batch) -> LossTerms:
        """Return the loss of a training batch, with its graph, and its parts."""

    @abstractmethod
    def validate(self, batch: Batch) -> Tensor:
        """Return the loss of a validation batch, without graph, and collect what `metrics` needs."""

    def metrics(self) -> dict[str, Tensor]:
        """Return the metrics of all validation batches since the last call, by name."""
        return {}

    def answers(self) -> Tensor | None:
        """Return `(N, K)` probabilities of the validation images, in their order, as the last `metrics` collected them.

        The result is None for a task without classes.
        """
        return None

    def begin_epoch(self, epoch: int) -> None:
        """Take note that an epoch begins; `epoch` is the number of finished epochs."""

    def lay_out(self, memory_format: torch.memory_format) -> None:
        """Keep the network in a memory format, and give it images in the same format."""
        self.memory_format = memory_format
        self.network.to(memory_format=memory_format)

    def laid_out(self, images: Tensor) -> Tensor:
        """Return images in the memory format of the network."""
        return images.contiguous(memory_format=self.memory_format)
