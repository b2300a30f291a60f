"""How many images a training answered right after some epoch but no longer at its end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from salign.errors import SalignError
from salign.evaluate.figures import Line, by_part, figure_lines
from salign.evaluate.ranking import Array


def evaluate_forgetting(
    table: pd.DataFrame,
    correct: Array,
    *,
    group_columns: Sequence[str] = (),
    resamples: int = 1000,
    confidence: float = 0.95,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Compute the forget score of a training (arXiv 2310.11094), for all images and for each group.

    `forgotten` is the largest share over epochs of images that are right after an epoch and wrong after the last one.
    Each group and each bootstrap resample takes the epoch at which its own share is largest.

    Args:
        table: predictions of the validation images; see `salign.evaluate.predictions`.
        correct: `(E, N)` bool: whether each image is answered right after each epoch, in the order of the table.
        group_columns: free columns for whose values the score is computed separately.
        resamples: number of bootstrap resamples, drawn within each label.
        confidence: level of the intervals, in (0, 1).
        generator: source of randomness.

    Returns:
        The columns of `evaluate_predictions`, with the metric `forgotten`.

    Raises:
        SalignError: `correct` is not `(E, N)` for the N images of the table and one epoch or more.
    """
    if correct.ndim != 2 or correct.shape[1] != len(table) or not len(correct):
        raise SalignError(f"correct: expected (E, {len(table)}), as the table has images, got {correct.shape}.")
    lost = correct & ~correct[-1]
    strata, _ = pd.factorize(table["label"].astype(object))

    def lines_of(positions: Array) -> list[Line]:
        part = lost[:, positions].T.astype(float)

        def values_of(weights: Array) -> dict[str, Array]:
            return {"forgotten": (weights @ part / weights.sum(1, keepdims=True)).max(1)}

        def about(metric: str) -> tuple[int, list[str]]:
            return len(positions), [f"{metric}: the most at any of {len(correct)} epochs"]

        return figure_lines(values_of, about, strata[positions], resamples, confidence, generator)

    return by_part(table, group_columns, lines_of, progress=False)
