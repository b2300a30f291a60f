"""Candidates of a space of one's own, trained as the networks of a study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from salign.experiment.store import Results
from salign.experiment.study import Study
from salign.search.spaces import Space, values_of
from salign.train.recipe import ClassifyRecipe

ARM = "search"


def draw_cells(space: Space, budget: int, seed: int) -> np.ndarray:
    """`(n, S)` int64: `budget` different cells of the space, or all of them where there are no more."""
    cells = space.cells()
    return cells[np.random.default_rng(seed).permutation(len(cells))[:budget]]


def name_of(cell: Sequence[int]) -> str:
    """The name of a candidate in the study: `c0-2-1`."""
    return "c" + "-".join(str(int(k)) for k in cell)


def candidate_study(recipe: ClassifyRecipe, path: str, cells: np.ndarray, *, metric: str, name: str) -> Study:
    """A study that trains each candidate once and compares them on the validation images; no test image is looked at.

    Args:
        recipe: what all candidates share.
        path: the YAML file of the space.
        cells: `(n, S)` int64.
        metric: what a candidate is judged by.
        name: the name of the study.
    """
    shared = recipe.model_dump(mode="json", exclude={"name", "seed"}, exclude_unset=True)
    return Study.build(
        {
            "name": name,
            "title": f"Candidates of {path}",
            "recipe": shared,
            "networks": {name_of(cell): values_of(path, cell.tolist()) for cell in cells},
            "arms": {ARM: {}},
            "baseline": ARM,
            "guided": ARM,
            "controls": [],
            "metric": metric,
            "target": "val",
            "grids": [{"arms": [ARM], "seeds": [recipe.seed]}],
            "analysis": {"images": 1},
        },
        f"the search of {path}",
    )


def measured_values(study: Study, results: Results, cells: np.ndarray) -> np.ndarray:
    """`(n,)` float64: the validation figure of each candidate; NaN where it is not finished."""
    figures = results.figures
    here = figures[(figures["set"] == "val") & (figures["metric"] == study.metric)].set_index("network")["value"]
    return np.array([float(here.get(name_of(cell), np.nan)) for cell in cells])
