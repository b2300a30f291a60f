"""Rank cells by predictors fitted to a few of them, and compare the graph network with simple predictors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from salign.checks import choice
from salign.search.predictor import Order, Predictor, fit_ranks, pretrain, scaled_ranks
from salign.search.spaces import Space

Scores = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""A predictor: `(n, S)` measured cells, their `(n,)` values and `(m, S)` further cells -> `(m,)` scores of these."""
PREDICTORS = ("gin", "ridge", "forest", "random")
"""`gin` is the graph network; `ridge` and `forest` are ridge regression and a random forest on one-hot operations;
`random` is a guess."""
FOLDS, FEWEST_IN_FOLD = 5, 5
"""Number of folds of cross-validation, and fewest cells in a fold; with few cells there are fewer folds, at least 2."""


def make_predictor(name: str, space: Space, pool: np.ndarray, *, order: Order = "easy", seed: int = 0) -> Scores:
    """Make a predictor, which can be fitted several times; its pretraining, which needs no values, is done once here.

    Args:
        name: one of `PREDICTORS`.
        space: the space of the cells.
        pool: `(N, S)` cells to pretrain on; their values are not used.
        order: order of the pretraining, see `salign.search.predictor.Order`.
        seed: decides everything that is drawn.
    """
    choice("name", name, PREDICTORS)
    if name == "gin":
        return _graph_network(space, pool, order, seed)

    def scores(cells: np.ndarray, values: np.ndarray, asked_for: np.ndarray) -> np.ndarray:
        if name == "random":
            return np.random.default_rng(seed).random(len(asked_for))
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.linear_model import Ridge

        model = Ridge(alpha=1.0) if name == "ridge" else RandomForestRegressor(100, random_state=seed % 2**32)
        model.fit(one_hot_cells(cells, space), scaled_ranks(values))
        return np.asarray(model.predict(one_hot_cells(asked_for, space)))

    return scores


def _graph_network(space: Space, pool: np.ndarray, order: Order, seed: int) -> Scores:
    torch.manual_seed(seed)
    start = Predictor(space)
    sizes = torch.tensor([len(operations) for operations in space.slots])
    pretrain(start, torch.from_numpy(pool), sizes, order=order, seed=seed)
    state = {name: value.clone() for name, value in start.state_dict().items()}

    def scores(cells: np.ndarray, values: np.ndarray, asked_for: np.ndarray) -> np.ndarray:
        net = Predictor(space)
        net.load_state_dict(state)
        fit_ranks(net, torch.from_numpy(cells), values, seed=seed)
        with torch.no_grad():
            return torch.cat([net(part) for part in torch.from_numpy(asked_for).split(4096)]).double().numpy()

    return scores


def one_hot_cells(cells: np.ndarray, space: Space) -> np.ndarray:
    """Encode cells `(n, S)` as `(n, D)` zeros and ones: for each slot, a one stands for its operation."""
    return np.concatenate([np.eye(len(names))[cells[:, slot]] for slot, names in enumerate(space.slots)], 1)


def kendall(scores: np.ndarray, values: np.ndarray) -> float:
    """Return Kendall's tau-b of `(m,)` scores and values, in [-1, 1]; 0 if the scores or the values are constant."""
    from scipy.stats import kendalltau

    tau = float(kendalltau(scores, values).statistic)
    return tau if tau == tau else 0.0


def count_folds(cells: int) -> int:
    """Return the number of folds into which `cross_validate` divides this number of cells."""
    return max(2, min(FOLDS, cells // FEWEST_IN_FOLD))


def spread_of_guess(cells: int, folds: int = 1) -> float:
    """Return the half width of the interval around 0 in which Kendall's tau of a guess lies with a probability of 95 %.

    Without ties, the variance of the tau of `m` pairs of independent numbers is `2 (2 m + 5) / (9 m (m - 1))` (Kendall
    1938). The variance of a mean over folds is this variance divided by the number of folds.

    Args:
        cells: number of ranked cells in all folds together, at least two per fold.
        folds: number of folds of equal size over which the mean of tau is taken.
    """
    m = cells / folds
    return 1.96 * math.sqrt(2 * (2 * m + 5) / (9 * m * (m - 1)) / folds)


def cross_validate(scores: Scores, cells: np.ndarray, values: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, float]:
    """Predict each measured cell by a predictor that was fitted without it, in as many folds as `count_folds` says.

    Returns:
        `(n,)` scores of all cells, and the mean over the folds of Kendall's tau within each fold. Tau is taken within
        folds, because the scores of different folds come from different fits.
    """
    folds = np.random.default_rng(seed).permutation(len(cells)) % count_folds(len(cells))
    predicted, taus = np.zeros(len(cells)), []
    for fold in np.unique(folds):
        here = folds == fold
        predicted[here] = scores(cells[~here], values[~here], cells[here])
        taus.append(kendall(predicted[here], values[here]))
    return predicted, float(np.mean(taus))


def rank_cells(
    space: Space, cells: np.ndarray, values: np.ndarray, pool: np.ndarray, *, order: Order = "easy", seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit every predictor to the measured cells, and score all cells of a pool.

    Args:
        space: the space of the cells.
        cells: `(n, S)` measured cells.
        values: `(n,)` values of the measured cells, the higher the better.
        pool: `(N, S)` all cells.
        order: see `salign.search.predictor.Order`.
        seed: decides everything that is drawn.

    Returns:
        Two tables. The first has a row per predictor, with the columns `predictor` and `tau` (from `cross_validate`; 0
        for the guess). The second has a row per cell of the pool, with a column of scores per predictor.
    """
    taus, scored = [], {}
    for name in PREDICTORS:
        predict = make_predictor(name, space, pool, order=order, seed=seed)
        taus.append((name, cross_validate(predict, cells, values, seed=seed)[1] if name != "random" else 0.0))
        scored[name] = predict(cells, values, pool)
    return pd.DataFrame(taus, columns=["predictor", "tau"]), pd.DataFrame(scored)


def say_whether_better(taus: pd.DataFrame, column: str = "tau") -> str:
    """Say whether the graph network ranks better than ridge regression, a random forest and a guess."""
    tau = taus.set_index("predictor")[column]
    better = [name for name in PREDICTORS[1:] if tau[name] >= tau["gin"]]
    listed = ", ".join(f"{name} {tau[name]:.2f}" for name in PREDICTORS)
    if better:
        best = max(better, key=lambda name: tau[name])
        return f"Kendall's tau: {listed}. The graph network does not beat {' and '.join(better)} here; rank by {best}."
    return f"Kendall's tau: {listed}. The graph network ranks best here."
