"""Loaders: batches of samples from worker processes, with errors that arrive as they were raised."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from salign.data.groups import number_groups
from salign.data.reading.dataset import SaliencyDataset, SeededSampler, collate as collate
from salign.errors import SalignError, one_of
from salign.types import Batch

SAMPLING = ("natural", "balanced", "groups")


def worker_count(workers: int | str, beside: int = 1) -> int:
    """Return how many worker processes to start.

    Args:
        workers: the number, or `auto`: one less than this process's share of its CPUs, from 0 to 8.
        beside: how many processes share these CPUs, each with as many workers.

    Raises:
        SalignError: neither a non-negative number nor `auto`.
    """
    if workers == "auto":
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(0, min(8, cpus // beside - 1))
    if isinstance(workers, str) or workers < 0:
        raise SalignError(f"workers is 'auto' or a number of processes, 0 or more; got {workers!r}")
    return workers


class _Batches(Dataset[Any]):
    """A dataset that collates by itself, and returns a `SalignError` instead of raising it.

    torch re-raises an exception of a worker with the whole traceback as its message; an exception that is returned as a
    batch keeps its own message.
    """

    def __init__(self, samples: SaliencyDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, keys: Sequence[Any]) -> Batch | SalignError:
        try:
            return self.samples.batch(keys)
        except SalignError as error:
            return error


class BatchLoader(DataLoader[Any]):
    """A loader of `Batch`, which raises the `SalignError` of a worker in the process that asked for the batch."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, SalignError):
                try:
                    raise batch
                finally:  # a frame that holds its own exception is a cycle; it would keep the workers for ten seconds
                    del batch
            yield batch


def _keep(batch: Any) -> Any:
    return batch


def _loader(dataset: SaliencyDataset, sampler: SeededSampler, batch_size: int, workers: int | str, drop: bool) -> Any:
    if batch_size < 1:
        raise SalignError(f"batch_size is at least 1; got {batch_size}")
    count = worker_count(workers)
    return BatchLoader(
        _Batches(dataset),
        batch_size=batch_size,
        sampler=sampler,
        num_workers=count,
        collate_fn=_keep,
        drop_last=drop,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=count > 0,
        worker_init_fn=_ignore_requests,
        generator=torch.Generator().manual_seed(sampler.seed),  # otherwise each iterator draws from the global one
    )


def _ignore_requests(worker: int) -> None:
    """Ignore the system's requests to end, which go to all processes of a job: the training process decides when."""
    for name in ("SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def predict_loader(dataset: SaliencyDataset, batch_size: int, workers: int | str = "auto") -> BatchLoader:
    """Return a loader of every sample once, in order; with seed 0, random augmentation is the same in each call."""
    return _loader(dataset, SeededSampler(len(dataset), 0, shuffle=False), batch_size, workers, False)


class SaliencyDataModule(LightningDataModule):
    """Loaders for training and validation.

    Worker processes are kept between epochs, and memory is pinned only if there is a CUDA device. Several processes
    share each batch: the samplers know the rank, so give the trainer `use_distributed_sampler=False`. The last batch of
    an epoch is dropped only in training, and only if it would hold a single image, which batch normalisation cannot
    use.

    Args:
        train: training set; every image has a label.
        val: validation set; every image has a label.
        batch_size: images per batch, of all processes together.
        workers: processes that read images for each loader, or `auto`.
        seed: decides the order and the augmentation.
        sampling: `natural` (each image once per epoch), `balanced` (with replacement, every class equally often), or
            `groups` (with replacement, every group equally often).
        groups: columns of the manifest; a group is a combination of their values and the class.

    Raises:
        SalignError: a set is empty or without labels, or an argument is out of its range.
    """

    def __init__(
        self,
        *,
        train: SaliencyDataset,
        val: SaliencyDataset,
        batch_size: int,
        workers: int | str = "auto",
        seed: int,
        sampling: str = "natural",
        groups: Sequence[str] = (),
    ) -> None:
        super().__init__()
        one_of(sampling, SAMPLING, "sampling")
        for name, dataset in (("training", train), ("validation", val)):
            if not len(dataset) or bool((dataset.labels < 0).any()):
                raise SalignError(f"the {name} set needs at least one image, and a label for every image")
        self.train, self.val = train, val
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.weights: Tensor | None = None
        self.seen = 0
        if sampling == "balanced":
            self.weights = class_balance(train.labels)
        elif sampling == "groups":
            self.weights = class_balance(torch.from_numpy(number_groups(train.manifest, groups)[1]))

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of the current epoch have been trained on."""
        if self.trainer is None:
            return {"seen": 0}
        batches = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        return {"seen": batches % int(self.trainer.num_training_batches)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next training epoch start after the batches that `state_dict` counted."""
        self.seen = state_dict["seen"]

    def train_dataloader(self) -> BatchLoader:
        """Return a loader of shuffled or balanced batches of the training set."""
        sampler = self._sampler(self.train, shuffle=True, weights=self.weights, batch=self.batch_size)
        sampler.skip(self.seen)
        single = len(self.train) > self.batch_size > 1 and len(self.train) % self.batch_size == 1
        return _loader(self.train, sampler, self.batch_size // sampler.world, self.workers, single)

    def val_dataloader(self) -> BatchLoader:
        """Return a loader of batches of the validation set, in order."""
        sampler = self._sampler(self.val, shuffle=False)
        return _loader(self.val, sampler, self.batch_size // sampler.world, self.workers, False)

    def _sampler(self, dataset: SaliencyDataset, **options: Any) -> SeededSampler:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return SeededSampler(len(dataset), self.seed, rank=rank, world=world, **options)


def class_balance(labels: Tensor) -> Tensor:
    """Return `(N,)` float64 weights for `(N,)` int64 labels, so that each class that occurs has the same total weight.

    Raises:
        SalignError: images may have several labels; weights of images can then not make all classes equal.
    """
    if labels.dim() == 2:
        raise SalignError(
            "sampling: balanced goes by the one class of an image, and these may have several. Take natural, with "
            "loss.class_weights: balanced."
        )
    counts = torch.bincount(labels).double()
    return 1.0 / counts[labels]
