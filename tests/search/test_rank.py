"""Ranking by several predictors, cross-validated, and the sentence that says which is better."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from salign.errors import SalignError
from salign.search.predictor import fit_ranks
from salign.search.rank import (
    count_folds,
    cross_validate,
    kendall,
    make_predictor,
    one_hot_cells,
    say_whether_better,
    spread_of_guess,
)
from salign.search.spaces import SPACES
from salign.search.table import rank_table

MACRO = SPACES["nasbench_macro"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph network is fitted for a moment only."""
    monkeypatch.setattr("salign.search.rank.fit_ranks", functools.partial(fit_ranks, epochs=3))


def made_up(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    cells = np.unique(np.random.default_rng(0).integers(0, 3, (count, 8)), axis=0)
    return cells, (cells * [4, 3, 2, 2, 1, 1, 1, 1]).sum(1) + 0.01 * np.arange(len(cells))


def test_cells_become_ones() -> None:
    assert one_hot_cells(np.array([[2, 0]]), type(MACRO)("s", (("a", "b", "c"), ("x", "y")), ())).tolist() == [
        [0, 0, 1, 1, 0]
    ]


def test_kendall() -> None:
    assert kendall(np.array([1.0, 2, 3]), np.array([10.0, 30, 20])) == pytest.approx(1 / 3)
    assert kendall(np.ones(3), np.arange(3.0)) == 0


def test_cross_validation_never_shows_a_cell_to_its_own_predictor() -> None:
    cells, values = made_up()

    def look_up(known: np.ndarray, seen: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        assert not (known[:, None] == wanted[None]).all(2).any()
        assert len(known) + len(wanted) == len(cells)
        return wanted @ np.array([4.0, 3, 2, 2, 1, 1, 1, 1])

    predicted, tau = cross_validate(look_up, cells, values)
    assert predicted.tolist() == (cells @ np.array([4.0, 3, 2, 2, 1, 1, 1, 1])).tolist()
    assert tau > 0.9


def test_few_cells_are_not_cut_into_folds_of_two() -> None:
    assert [count_folds(cells) for cells in (10, 14, 15, 24, 25, 100)] == [2, 2, 3, 4, 5, 5]


def test_the_tau_of_a_guess_spreads_as_that_of_shuffled_numbers() -> None:
    generator = np.random.default_rng(0)
    taus = [np.mean([kendall(generator.random(6), generator.random(6)) for _ in range(3)]) for _ in range(2000)]
    assert spread_of_guess(18, 3) == pytest.approx(1.96 * np.std(taus), rel=0.05)
    assert np.mean(np.abs(taus) < spread_of_guess(18, 3)) == pytest.approx(0.95, abs=0.015)


def test_ridge_and_forest_learn_what_adds_up() -> None:
    cells, values = made_up()
    for name, least in (("ridge", 0.8), ("forest", 0.4)):
        scores = make_predictor(name, MACRO, cells)(cells[:40], values[:40], cells[40:])
        assert kendall(scores, values[40:]) > least


@pytest.mark.parametrize(
    ("gin", "message"), [(0.5, "ranks best here"), (0.2, "does not beat ridge and forest here; rank by ridge")]
)
def test_the_sentence(gin: float, message: str) -> None:
    taus = pd.DataFrame({"predictor": ["gin", "ridge", "forest", "random"], "tau": [gin, 0.4, 0.3, 0.0]})
    assert message in say_whether_better(taus)


def test_a_table_is_ranked_and_what_is_held_out_is_measured(quick: None) -> None:
    cells, values = made_up()
    codes = ["".join(map(str, cell)) for cell in cells.tolist()]
    ranked = rank_table(MACRO, codes, cells, values, budget=30, predictor="ridge", order="none")
    assert ranked.ranking["used"].sum() == 30
    assert sorted(ranked.ranking["code"]) == sorted(codes)
    assert ranked.ranking["predicted"].is_monotonic_decreasing
    scores, held_out = ranked.points["ridge"]
    assert len(scores) == len(held_out) == len(cells) - 30
    row = ranked.taus.set_index("predictor").loc["ridge"]
    assert row["held_out"] == pytest.approx(kendall(scores, held_out))
    assert row["held_out"] > 0.8
    few = np.where(np.arange(len(cells)) < 5, values, np.nan)
    with pytest.raises(SalignError, match="expected 10 measured cells or more, got 5"):
        rank_table(MACRO, codes, cells, few)
