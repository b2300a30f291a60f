"""Section `posthoc` of a recipe: what is made of a finished run, without training it again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from salign.config import Section
from salign.evaluate.fusion import Method
from salign.limits import LARGEST_SEED


class PosthocRecipe(Section):
    """The section makes a run of a finished one; the sections model, loss and train are then those of that run."""

    run: str
    """This finished run, or `stage:NAME`, is what the new one is made of."""


class FuseRecipe(PosthocRecipe):
    """With `name: fuse`, the answer is the weighted mean of epochs of the run, of which it must have snapshots."""

    name: Literal["fuse"]
    """This is the name of what is done."""
    method: Method = "fusion"
    """Epochs are weighed in this way: by knowledge fusion, or, to compare it with, the best epoch, or the mean of the
    last ones, of all, or of some at even distances (jumps). Validation images alone decide."""
    count: int | None = Field(default=None, ge=1)
    """The methods last and jumps take so many epochs; null means a tenth."""
    window: int = Field(default=1, ge=0)
    """Fusion takes so many epochs before and after an epoch with it."""


class RebalanceRecipe(PosthocRecipe):
    """With `name: rebalance`, a fresh linear head learns from as many features of every class; all else stays."""

    name: Literal["rebalance"]
    """This is the name of what is done."""
    method: Literal["eos", "smote", "repeat", "plain"] = "eos"
    """Features are added between images of the class and near ones of other classes (eos), of the own class (smote), or
    again as they are (repeat); `plain` adds none, for comparison."""
    neighbours: int | None = Field(default=None, ge=1)
    """So many nearest features count as near; null means 10 for eos and 5 for smote, as published."""
    reach: float = Field(default=1, gt=0, le=1)
    """The method eos goes this share of the way to the other class at most; 1 is published."""
    epochs: int = Field(default=10, ge=1)
    """The head sees each feature this many times."""
    lr: float = Field(default=0.1, gt=0)
    """SGD has this learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """SGD has this momentum."""
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED)
    """This number decides what is added, the fresh head and the order; null means the seed of the run."""


class DfrRecipe(PosthocRecipe):
    """With `name: dfr`, the linear head learns anew from as many validation images of every group; all else stays.

    This is deep feature reweighting (arXiv 2204.02937). `data.groups` makes the groups.
    """

    name: Literal["dfr"]
    """This is the name of what is done."""
    draws: int = Field(default=20, ge=1, le=1000)
    """The head is the mean of those that learned from so many draws of the validation images."""
    strengths: list[Annotated[float, Field(gt=0)]] = Field(default=[1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01], min_length=1)
    """One of these weights of the cross-entropy beside the L1 norm of the head (C of scikit-learn) is chosen, by the
    worst group of half of the validation images."""
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED)
    """This number decides the halves and the draws; null means the seed of the run."""
