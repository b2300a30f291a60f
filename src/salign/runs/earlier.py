"""Names of version 0.1 whose modules no longer exist; version 0.3 will remove them.

The figures of a run are now computed by `evaluate`, and its pictures by `explain`. A net that draws maps is trained by
`fit` with a recipe whose task is `maps`, and a classifier starts from such a net by `model.weights`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from salign.runs.evaluate import evaluate_run as evaluate_run
from salign.runs.explain import explain_run as explain_run
from salign.runs.fit import fit
from salign.runs.folder import RunFolder
from salign.train.recipe import MapsRecipe, Recipe

SaliencyRecipe = MapsRecipe


def fit_saliency(recipe: MapsRecipe, out: Path | str = "runs", **options: Any) -> RunFolder:
    """See `salign.fit`."""
    return fit(recipe, out, **options)


def start_from(recipe: Recipe, run: Path | str) -> Recipe:
    """Return the recipe with `model.weights` set to the folder of `run`."""
    return recipe.with_values({"model": {"weights": str(RunFolder.open(run).path.resolve())}})
