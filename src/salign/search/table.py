"""Table in, table out: rank the cells of a benchmark, or those that somebody has not trained yet."""

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
    """What came of a table."""

    ranking: pd.DataFrame
    """A row per cell, the best first: rank, code, cell, measured, predicted, used (whether its value was seen)."""
    taus: pd.DataFrame
    """A row per predictor: `tau` in cross-validation and, where cells with values were held out, `held_out`."""
    points: dict[str, tuple[np.ndarray, np.ndarray]]
    """Scores and values of cells that the predictor had not seen."""
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
    """Fit predictors to the measured cells, `budget` of them drawn if there are more, and rank all.

    Args:
        space: the cells.
        codes: `N` names of the cells.
        cells: `(N, S)` int64.
        values: `(N,)`, the higher the better; NaN = not measured.
        budget: most values that are seen; what is measured besides is held out.
        predictor: the ranking is by this one.
        order: see `salign.search.predictor.Order`.
        seed: decides all that is drawn.
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
