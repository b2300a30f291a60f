"""What a training needs to know of the thing that is learned, so that one loop trains everything."""

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
    """Which epoch's weights are kept."""

    monitor: str | None
    """The logged metric that decides; None keeps the last epoch."""
    ties: str
    """"first" or "last" of equally good epochs."""
    lowest: bool
    """The lowest value is the best."""


class Task(nn.Module, ABC):
    """A network, the loss of a batch, and what validation measures; see `salign.train.module.Training`."""

    network: Any
    """A module that can `save` itself into a folder."""
    image_size: tuple[int, int]
    """(H, W) that the network takes."""
    needs: frozenset[str] = frozenset()
    """What the batch must have besides its usual fields, as for a step."""
    memory_format: torch.memory_format = torch.contiguous_format
    """Layout that images are given to the network in."""

    @classmethod
    @abstractmethod
    def build(cls, recipe: Any, data: Prepared, say: Say) -> Self:
        """The network and its loss as a recipe describes them.

        Raises:
            SalignError: they do not fit each other or the data.
        """

    @classmethod
    @abstractmethod
    def rows(cls, recipe: Any, data: Prepared, say: Say) -> Prepared:
        """The images that this task learns from and is measured on, of those that the recipe names; says what they are.

        Raises:
            SalignError: there is nothing to learn from, or nothing to measure on.
        """

    @classmethod
    @abstractmethod
    def selection(cls, recipe: Any) -> Selection:
        """Which epoch is kept."""

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
        """What the network is given: what is the same in every epoch may be computed once, into `folder`."""
        return train, val

    @abstractmethod
    def forward(self, batch: Batch) -> LossTerms:
        """The loss of a training batch, with its graph."""

    @abstractmethod
    def validate(self, batch: Batch) -> Tensor:
        """The loss of a validation batch, without graph; what `metrics` needs is collected."""

    def metrics(self) -> dict[str, Tensor]:
        """Metrics of all validation batches since it was last called."""
        return {}

    def answers(self) -> Tensor | None:
        """`(N, K)` probabilities of the validation images, in order, as `metrics` found them; None = no classes."""
        return None

    def begin_epoch(self, epoch: int) -> None:
        """Tell the task how many epochs are finished."""

    def lay_out(self, memory_format: torch.memory_format) -> None:
        """Keep the network and its images in a memory format."""
        self.memory_format = memory_format
        self.network.to(memory_format=memory_format)

    def laid_out(self, images: Tensor) -> Tensor:
        """Images in the memory format of the network."""
        return images.contiguous(memory_format=self.memory_format)
