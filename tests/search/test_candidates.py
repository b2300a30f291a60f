"""Candidates of a space are the networks of a study that looks at validation images alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from command import small
from salign.experiment.store import Results
from salign.experiment.study import expand
from salign.search.candidates import candidate_study, draw_cells, measured_values, name_of
from salign.search.spaces import read_space
from salign.train.recipe import ClassifyRecipe, Recipe


def test_candidates_become_runs_with_their_own_values(digits: Path, tmp_path: Path) -> None:
    path = tmp_path / "nets.yaml"
    path.write_text("model.output_stride: [8, 16]\ntrain.lr: [0.1, 0.02, 0.01]\n")
    space = read_space(str(path))
    cells = draw_cells(space, 4, seed=0)
    assert len(np.unique(cells, axis=0)) == 4
    assert len(draw_cells(space, 30, seed=0)) == 6
    recipe = Recipe.build(small(digits, seed=5))
    assert isinstance(recipe, ClassifyRecipe)
    study = candidate_study(recipe, str(path), np.array([[0, 1], [1, 2]]), metric="accuracy", name="s")
    first, second = expand(study)
    assert (first.network, second.network) == ("c0-1", "c1-2")
    assert (first.recipe.train.lr, second.recipe.train.lr) == (0.02, 0.01)
    assert (first.recipe.model.output_stride, second.recipe.model.output_stride) == (8, 16)
    assert (first.recipe.loss.name, first.recipe.train.epochs, first.recipe.seed) == ("cyborg", 2, 5)
    assert study.target == "val"
    # A third candidate is another run; the two there were are found again.
    more = expand(candidate_study(recipe, str(path), np.array([[0, 0], [0, 1], [1, 2]]), metric="accuracy", name="s"))
    assert {cell.recipe.fingerprint() for cell in more} > {first.recipe.fingerprint(), second.recipe.fingerprint()}

    figures = pd.DataFrame(
        {
            "network": ["c0-1", "c0-1", "c1-2"],
            "set": ["val", "test_iid", "val"],
            "metric": "accuracy",
            "value": [0.7, 0.1, 0.9],
        }
    )
    values = measured_values(study, Results(figures, pd.DataFrame(), 0), np.array([[1, 2], [0, 0], [0, 1]]))
    assert values[[0, 2]].tolist() == [0.9, 0.7]
    assert np.isnan(values[1])
    assert name_of([2, 0, 1]) == "c2-0-1"
