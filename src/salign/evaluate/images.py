"""A table of predictions as arrays, checked for what the figures need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from salign.errors import SalignError
from salign.evaluate.predictions import logits_of, probabilities_of, text_of, validate
from salign.evaluate.ranking import Array

EMPTY = "(empty)"
"""The name that stands for an empty cell of a split, group or species column."""


@dataclass(frozen=True)
class Images:
    """The images of a split, of a group or of a whole table, as arrays."""

    classes: tuple[str, ...]
    labels: Array  # (N,) int
    predicted: Array  # (N,) int
    logits: Array  # (N, K)
    probabilities: Array  # (N, K)
    species: Array | None  # (N,) text
    positive: int
    threshold: float

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Array) -> Images:
        """Return only the images at these positions."""
        species = None if self.species is None else self.species[rows]
        return Images(
            self.classes, self.labels[rows], self.predicted[rows], self.logits[rows], self.probabilities[rows],
            species, self.positive, self.threshold,
        )  # fmt: skip

    @property
    def attack(self) -> Array:
        """`(N,)` bool: which images are of the positive class."""
        return self.labels == self.positive

    @property
    def strata(self) -> Array:
        """`(N,)` strata of the bootstrap: the label and, for attacks, also the species."""
        if self.species is None:
            return self.labels
        _, codes = np.unique(self.species, return_inverse=True)
        return self.labels * (codes.max(initial=0) + 2) + np.where(self.attack, codes + 1, 0)


def prepare(
    table: pd.DataFrame,
    classes: Sequence[str],
    positive: str | None,
    threshold: float | None,
    species_column: str | None,
) -> tuple[Images, str]:
    """Check a table of predictions; return it as arrays, and a note on the threshold.

    For the arguments see `salign.evaluate.evaluate_predictions`.

    Raises:
        SalignError: the table is empty or not valid, or an argument does not go with its classes and columns.
    """
    names = tuple(classes)
    if not len(table):
        raise SalignError("no predictions to evaluate: the table is empty")
    validate(table, names, labelled=True)
    if len(names) > 2 and (positive is not None or species_column is not None):
        raise SalignError(f"a positive class and attack species go with two classes; got {len(names)}")
    if positive is not None and positive not in names:
        raise SalignError(f"the positive class {positive!r} is none of the classes: {', '.join(names)}")
    if threshold is not None and not np.isfinite(threshold):
        raise SalignError(f"the threshold must be a finite probability; got {threshold}")
    if species_column is not None:
        require(table, [species_column])
    number = {name: k for k, name in enumerate(names)}
    species = None if species_column is None else named(table, species_column)
    images = Images(
        names,
        text_of(table, "label").map(number).to_numpy(dtype=np.int64),
        text_of(table, "predicted").map(number).to_numpy(dtype=np.int64),
        logits_of(table, names),
        probabilities_of(table, names),
        species,
        number[positive] if positive is not None else len(names) - 1,
        0.5 if threshold is None else float(threshold),
    )
    source = "by default, not fixed on validation" if threshold is None else "fixed beforehand"
    return images, f"threshold {images.threshold:.4g} {source}"


def require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise SalignError unless the table has these columns."""
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise SalignError(f"no column {', '.join(absent)} in the predictions; there are: {', '.join(table.columns)}")


def named(table: pd.DataFrame, column: str) -> Array:
    """Return a column as `(N,)` text, with `EMPTY` in empty cells."""
    return text_of(table, column).replace("", EMPTY).to_numpy(dtype=object)
