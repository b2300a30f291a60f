"""Section `posthoc` of a recipe: how a run is made from a finished run, without training the network again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from salign.config import Section
from salign.evaluate.fusion import Method
from salign.limits import LARGEST_SEED


class PosthocRecipe(Section):
    """The section makes a run from a finished run, whose sections model, loss and train the new run takes over."""

    run: str
    """The new run is made from this finished run, or from `stage:NAME`."""


class FuseRecipe(PosthocRecipe):
    """With `name: fuse`, the answer is the weighted mean of the answers of epochs of which the run has snapshots."""

    name: Literal["fuse"]
    """This is the name of the operation."""
    method: Method = "fusion"
    """The epochs are weighed by knowledge fusion or, for comparison, by a simpler rule: the best epoch alone, or the
    mean of the last epochs, of all epochs, or of some at even distances (jumps). Only validation images decide."""
    count: int | None = Field(default=None, ge=1)
    """The methods last and jumps take this many epochs; null means a tenth of them, but at least two."""
    window: int = Field(default=1, ge=0)
    """The method fusion takes, with each epoch, this many epochs before and after it."""


class RebalanceRecipe(PosthocRecipe):
    """With `name: rebalance`, a fresh linear head learns from equally many features of every class; all else stays."""

    name: Literal["rebalance"]
    """This is the name of the operation."""
    method: Literal["eos", "smote", "repeat", "plain"] = "eos"
    """`eos` adds features between images of the rare class and near images of other classes, `smote` between near
    images of the rare class, and `repeat` adds features of the rare class again; `plain` adds none, for comparison."""
    neighbours: int | None = Field(default=None, ge=1)
    """This many nearest features count as near; null means 10 for eos and 5 for smote, as published."""
    reach: float = Field(default=1, gt=0, le=1)
    """The method eos goes at most this share of the way to the feature of the other class; 1 is published."""
    epochs: int = Field(default=10, ge=1)
    """The head sees each feature this many times."""
    lr: float = Field(default=0.1, gt=0)
    """SGD has this learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """SGD has this momentum."""
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED)
    """This number decides which features are added, the weights of the fresh head and the order of training; null means
    the seed of the run."""


class DfrRecipe(PosthocRecipe):
    """With `name: dfr`, a linear head is fitted to equally many validation images of every group; all else stays.

    This is deep feature reweighting (arXiv 2204.02937). `data.groups` names the columns that make the groups.
    """

    name: Literal["dfr"]
    """This is the name of the operation."""
    draws: int = Field(default=20, ge=1, le=1000)
    """The head is the mean of the heads that are fitted to this many draws of the validation images."""
    strengths: list[Annotated[float, Field(gt=0)]] = Field(default=[1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01], min_length=1)
    """One of these weights of the cross-entropy relative to the L1 norm of the head (C of scikit-learn) is chosen: the
    one with the highest accuracy in the worst group, on half of the validation images."""
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED)
    """This number decides the halves and the draws; null means the seed of the run."""
