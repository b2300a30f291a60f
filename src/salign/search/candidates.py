"""Candidates of a user's own space, trained as the networks of a study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from salign.experiment.store import Results
from salign.experiment.study import Study
from salign.search.spaces import Space, values_of
from salign.train.recipe import ClassifyRecipe

ARM = "search"


def draw_cells(space: Space, budget: int, seed: int) -> np.ndarray:
    """Draw `budget` different cells of the space, or all of them if there are no more: `(n, S)` int64."""
    cells = space.cells()
    return cells[np.random.default_rng(seed).permutation(len(cells))[:budget]]


def name_of(cell: Sequence[int]) -> str:
    """Return the name of a candidate in the study, such as `c0-2-1`."""
    return "c" + "-".join(str(int(k)) for k in cell)


def candidate_study(recipe: ClassifyRecipe, path: str, cells: np.ndarray, *, metric: str, name: str) -> Study:
    """Build a study that trains each candidate once and compares the candidates on the validation images.

    No test image is used.

    Args:
        recipe: the settings that all candidates share.
        path: the YAML file of the space.
        cells: `(n, S)` int64, a row per candidate.
        metric: the figure by which a candidate is judged.
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
    """Return the validation figure of each candidate, `(n,)` float64; NaN for a candidate that is not finished."""
    figures = results.figures
    here = figures[(figures["set"] == "val") & (figures["metric"] == study.metric)].set_index("network")["value"]
    return np.array([float(here.get(name_of(cell), np.nan)) for cell in cells])
