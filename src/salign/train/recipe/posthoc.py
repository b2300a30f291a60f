"""Section `posthoc` of a recipe: what is made of a finished run, without training it again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from salign.config import Section
from salign.evaluate.fusion import Method


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
