"""Section `train` of a recipe: how a network is optimised, on which device, and which epoch is kept."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from salign.config import Pass, Section
from salign.errors import SalignError
from salign.limits import LARGEST_BATCH, MOST_WORKERS
from salign.train.world import planned


class TrainOptions(Section):
    """The section says how a network is optimised."""

    epochs: int = Field(default=30, ge=1)
    """Each training image is seen this many times."""
    batch_size: int = Field(default=20, ge=1, le=LARGEST_BATCH)
    """Each batch has this many images, of all processes together."""
    accumulate: int = Field(default=1, ge=1)
    """The gradients of this many batches make one optimiser step, as if a batch were so many times larger; the memory
    needed is that of one batch. Batch norm and terms that compare images see one batch at a time."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """`sgd` has momentum and is the published choice; `adamw` is the other choice."""
    lr: float = Field(default=0.02, gt=0)
    """The learning rate reaches this value at its highest."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """SGD has this momentum; AdamW ignores it."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Both optimisers have this weight decay."""
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "cosine"
    """The learning rate follows this schedule; `step` is published."""
    step_epochs: int = Field(default=12, ge=1)
    """The schedule `step` multiplies the rate by `step_factor` every time that this many epochs are done."""
    step_factor: float = Field(default=0.1, gt=0)
    """The schedule `step` multiplies the rate by this number."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Validation measures, and the run keeps, the exponential moving average of the weights and of batch norm's
    statistics with this decay, such as 0.999; null takes the weights themselves. Snapshots of optimiser steps always
    have the weights themselves."""
    snapshots: list[int] | dict[Literal["even", "log", "steps"], Annotated[int, Field(ge=1)]] | None = None
    """The run keeps the weights after these epochs, counted from 0. These are ten epochs with `{even: 10}` or
    `{log: 10}`, the last included, at even or at growing distances. `{steps: 10}` keeps the weights after ten
    optimiser steps instead, at growing distances from step 0, the untrained network, to the last step."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes CUDA, else MPS, else the CPU."""
    devices: int = Field(default=1, ge=1, le=MOST_WORKERS)
    """This many GPUs, or processes on CPUs, of each machine train together and share each batch; `torchrun` and `srun`
    decide the number themselves. The weights are those that one process would get, except for rounding and dropout."""
    nodes: int = Field(default=1, ge=1, le=MOST_WORKERS)
    """This many machines train together; more than one need `torchrun` or `srun` (docs/clusters.md)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """The forward pass has this number format; `auto` measures the speed on this machine and takes the fastest."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Images and weights have this layout; `auto` measures the speed on this machine and takes the fastest."""
    logger: Literal["auto", "csv", "tensorboard", "wandb", "mlflow"] = "auto"
    """This logger records the training besides `metrics.csv`; `csv` means that file alone, and `auto` takes TensorBoard
    if it is installed. Logs of wandb and mlflow stay in the run folder, unless WANDB_MODE=online or MLFLOW_TRACKING_URI
    is set."""

    @model_validator(mode="after")
    def _snapshots_fit(self) -> Self:
        if isinstance(self.snapshots, dict) and len(self.snapshots) != 1:
            raise ValueError(f"snapshots: expected one of even, log and steps with a number, got {self.snapshots}")
        if isinstance(self.snapshots, list) and (beyond := [e for e in self.snapshots if not 0 <= e < self.epochs]):
            raise ValueError(
                f"snapshots: epochs are counted from 0, so that the last of {self.epochs} is {self.epochs - 1}; got "
                f"{beyond}"
            )
        return self

    @model_validator(mode="after")
    def _batch_divides(self, info: ValidationInfo) -> Self:
        if fault := undivided(self.batch_size, self.devices * self.nodes):
            raise ValueError(fault)
        if Pass.of(info).files:
            try:
                planned(self.devices, self.nodes)
            except SalignError as error:
                raise ValueError(str(error).removeprefix("train.")) from error
        return self

    @field_validator("logger")
    @classmethod
    def _is_installed(cls, logger: str, info: ValidationInfo) -> str:
        if Pass.of(info).files and logger not in ("auto", "csv") and importlib.util.find_spec(logger) is None:
            raise ValueError(f"{logger} is not installed here; pip install {logger}, or take `csv`")
        return logger

    @field_validator("device", mode="before")
    @classmethod
    def _no_number(cls, device: object) -> object:
        kind, colon, number = str(device).partition(":")
        if kind == "cuda" and colon:
            raise ValueError(
                f"got {device!r}; write cuda, and choose the GPU by the variable CUDA_VISIBLE_DEVICES={number}"
            )
        return device


def undivided(batch_size: int, processes: int) -> str:
    """Return the message for a batch that does not divide evenly among the processes; empty if it does."""
    if not batch_size % processes:
        return ""
    lower = batch_size // processes * processes
    sizes = [str(size) for size in (lower, lower + processes) if size]
    return f"batch_size: {batch_size} images do not divide among {processes} processes; take {' or '.join(sizes)}"


class TrainRecipe(TrainOptions):
    """The section says how the classifier is optimised, and which epoch's weights the run keeps."""

    select: Literal["auroc", "accuracy", "last"] = "auroc"
    """The run keeps the weights of the epoch that is best on validation by this metric, or of the last epoch."""
    ties: Literal["first", "last"] = "last"
    """The run keeps the first or the last of several equally good epochs. Where validation is too easy to tell epochs
    apart, the saliency term still teaches the network, so that the last epoch is better."""
    trainable: Literal["all", "last_block", "head"] = "all"
    """This part of the weights is trained: all of them, the last block and the head, or the head alone. The rest keeps
    its weights and its batch-norm statistics. If only the head is trained and the images stay the same, features are
    computed once."""
    collapse_patience: int | None = Field(default=None, ge=1)
    """Training stops with an error if for this many epochs in a row all validation images get the same answer, or the
    cross-entropy of training is no lower than that of always answering the frequencies of the classes. It
    does not with null."""


class SaliencyTrainRecipe(TrainOptions):
    """The section says how the net is optimised, and which epoch's weights the run keeps."""

    optimizer: Literal["sgd", "adamw"] = "adamw"
    """AdamW is Adam if `weight_decay` is 0; SGD has momentum."""
    lr: float = Field(default=0.001, gt=0)
    """The learning rate reaches this value at its highest."""
    select: Literal["loss", "last"] = "loss"
    """The run keeps the weights of the epoch with the lowest loss on validation, or of the last epoch."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """The forward pass has this number format."""
    memory_format: Literal["contiguous", "channels_last"] = "channels_last"
    """Images and weights have this layout."""
