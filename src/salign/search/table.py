"""Rank the cells of a table: those of a benchmark, or those that somebody has not trained yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from salign.errors import SalignError
from salign.search.predictor import Order
from salign.search.rank import (
    count_folds,
    cross_validate,
    kendall,
    make_predictor,
    rank_cells,
    say_whether_better,
    spread_of_guess,
)
from salign.search.spaces import FEWEST, Space


@dataclass(frozen=True)
class Ranked:
    """The result of `rank_table`."""

    ranking: pd.DataFrame
    """A row per cell, best first, with the columns rank, code, cell, measured, predicted and used.

    `used` says whether the predictor has seen the value of the cell.
    """
    taus: pd.DataFrame
    """A row per predictor, with Kendall's tau in the columns `tau` (cross-validation) and `held_out`.

    `held_out` is there only if cells with values were held out.
    """
    points: dict[str, tuple[np.ndarray, np.ndarray]]
    """Name of the predictor -> scores and values of cells whose values it had not seen."""
    sentences: list[str]


def rank_table(
    space: Space,
    codes: list[str],
    cells: np.ndarray,
    values: np.ndarray,
    *,
    budget: int = 30,
    predictor: str = "gin",
    order: Order = "easy",
    seed: int = 0,
) -> Ranked:
    """Fit predictors to the measured cells, and rank all cells.

    If more than `budget` cells are measured, `budget` of them are drawn, and the others are held out.

    Args:
        space: the space of the cells.
        codes: `N` names of the cells.
        cells: `(N, S)` int64.
        values: `(N,)`, the higher the better; NaN = not measured.
        budget: largest number of values that the predictors see.
        predictor: the predictor by which cells are ranked.
        order: see `salign.search.predictor.Order`.
        seed: decides everything that is drawn.

    Raises:
        SalignError: `budget`, or the number of measured cells, is below `FEWEST`.
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < FEWEST or budget < FEWEST:
        raise SalignError(
            f"expected {FEWEST} measured cells or more, got {min(len(known), budget)}; with fewer nobody can say "
            "whether a predictor is better than a guess."
        )
    used = np.sort(np.random.default_rng(seed).permutation(known)[:budget])
    held_out = np.setdiff1d(known, used)
    taus, scored = rank_cells(space, cells[used], values[used], cells, order=order, seed=seed)
    column = "tau"
    if len(held_out):
        column = "held_out"
        taus[column] = [kendall(scored[name].to_numpy()[held_out], values[held_out]) for name in taus["predictor"]]
        points = scored[predictor].to_numpy()[held_out], values[held_out]
    else:
        predict = make_predictor(predictor, space, cells, order=order, seed=seed)
        points = cross_validate(predict, cells[used], values[used], seed=seed)[0], values[used]
    best = np.argsort(-scored[predictor].to_numpy(), kind="stable")
    ranking = pd.DataFrame(
        {
            "rank": np.arange(1, len(best) + 1),
            "code": [codes[i] for i in best],
            "cell": [space.describe(cells[i]) for i in best],
            "measured": values[best],
            "predicted": scored[predictor].to_numpy()[best].round(4),
            "used": np.isin(best, used),
        }
    )
    where = f"on {len(held_out):,} cells held out" if len(held_out) else "in cross-validation"
    first = f"{len(used)} of {len(cells):,} cells taught the predictors; they were measured {where}."
    guess = spread_of_guess(len(held_out)) if len(held_out) else spread_of_guess(len(used), count_folds(len(used)))
    last = f"The tau of a guess lies between -{guess:.2f} and {guess:.2f} in 95 of 100 such searches."
    return Ranked(ranking, taus, {predictor: points}, [first, say_whether_better(taus, column), last])
