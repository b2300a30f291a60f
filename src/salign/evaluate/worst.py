"""How the part of a set fares that fares worst: an average hides a class, or a hospital, that is always wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from salign.evaluate.images import named, require


class Worst(NamedTuple):
    """The worst part of a set."""

    part: str
    """Its name, such as `cat` or `cat, site B`."""
    accuracy: float
    images: int


def worst_part(table: pd.DataFrame, group_columns: Sequence[str] = ()) -> Worst:
    """Find the part with the lowest share of right answers, by highest probability; of equals, the smaller one.

    The parts are the classes; with group columns, each class within each group, column by column, as in
    distributionally robust optimisation over groups (Sagawa et al. 2020, arXiv 1911.08731).

    Args:
        table: predictions of labelled images, see `predictions`.
        group_columns: free columns.

    Raises:
        SalignError: a column that is not there.
    """
    require(table, ["label", "predicted", *group_columns])
    labels = named(table, "label")
    right = labels == named(table, "predicted")
    parts = []
    for column in group_columns or ["label"]:
        names = (
            labels
            if column == "label"
            else np.char.add(np.char.add(labels.astype(str), ", "), named(table, column).astype(str))
        )
        parts += [
            (float(right[names == name].mean()), int((names == name).sum()), str(name)) for name in np.unique(names)
        ]
    accuracy, images, part = min(parts)
    return Worst(part, accuracy, images)
