"""Section `train` of a recipe: how a network is optimised, on what, and which epoch is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from salign.config import Section
from salign.limits import LARGEST_BATCH


class TrainOptions(Section):
    """How any network is optimised, on what."""

    epochs: int = Field(default=30, ge=1)
    """Times each training image is seen."""
    batch_size: int = Field(default=20, ge=1, le=LARGEST_BATCH)
    """Images per step."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum (published), or AdamW."""
    lr: float = Field(default=0.02, gt=0)
    """Highest learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Of either optimiser."""
    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "cosine"
    """Course of the learning rate; `step` is published."""
    step_epochs: int = Field(default=12, ge=1)
    """For schedule "step": the rate is multiplied by `step_factor` every so many epochs."""
    step_factor: float = Field(default=0.1, gt=0)
    """For schedule `step`: see step_epochs."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto`: CUDA, else MPS, else CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the forward pass; `auto` measures here and takes the fastest."""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Layout of images and weights; `auto` measures here and takes the fastest."""

    @field_validator("device", mode="before")
    @classmethod
    def _no_number(cls, device: object) -> object:
        kind, colon, number = str(device).partition(":")
        if kind == "cuda" and colon:
            raise ValueError(
                f"got {device!r}; write cuda, and choose the GPU by the variable CUDA_VISIBLE_DEVICES={number}"
            )
        return device


class TrainRecipe(TrainOptions):
    """How it is optimised, on what, and which epoch is kept."""

    select: Literal["auroc", "accuracy", "last"] = "auroc"
    """Which epoch's weights are kept: the best on validation by this figure, or the last."""
    ties: Literal["first", "last"] = "last"
    """Which of several equally good epochs: where validation is too easy, the saliency term has more to teach."""


class SaliencyTrainRecipe(TrainOptions):
    """How it is optimised, on what, and which epoch is kept."""

    optimizer: Literal["sgd", "adamw"] = "adamw"
    """AdamW (with `weight_decay: 0` it is Adam), or SGD with momentum."""
    lr: float = Field(default=0.001, gt=0)
    """Highest learning rate."""
    select: Literal["loss", "last"] = "loss"
    """Which epoch's weights are kept: that of the lowest loss on validation, or the last."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the forward pass."""
    memory_format: Literal["contiguous", "channels_last"] = "channels_last"
    """Layout of images and weights."""
