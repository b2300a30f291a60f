"""Groups of images: a group is a combination of the values in some columns of the manifest and of the class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from salign.data.manifest import Manifest
from salign.errors import SalignError


def number_groups(rows: Manifest, columns: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Number the groups that occur, each a combination of the values of the columns and of the class.

    Args:
        rows: images with one label each.
        columns: columns of the manifest; a row without a value counts as one with an empty value.

    Returns:
        The names of the groups, sorted, such as `colour red, class a`, and `(N,)` the number of each row's group.

    Raises:
        SalignError: a column does not exist, or images may have several labels.
    """
    if rows.multi_label:
        raise SalignError(f"{rows.source}: a group has one class, and these images may have several labels.")
    if missing := [name for name in columns if name not in rows.table]:
        raise SalignError(f"{rows.source}: there is no column {missing[0]!r} to make groups of.")
    names = rows.table["label"].map("class {}".format).astype(object)
    for column in reversed(columns):
        names = rows.table[column].astype(object).fillna("").map(f"{column} {{}}, ".format) + names
    known, numbers = np.unique(names.to_numpy(dtype=str), return_inverse=True)
    return known.tolist(), numbers.astype(np.int64)


def take_equal(numbers: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw as many positions of each number as the rarest number has.

    Args:
        numbers: `(N,)` the number of each position's group.
        generator: draws the positions.

    Returns:
        `(M,)` positions, ascending.
    """
    members = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    count = min(map(len, members))
    return np.sort(np.concatenate([generator.choice(rows, count, replace=False) for rows in members]))


def subsample(rows: Manifest, columns: Sequence[str], seed: int) -> Manifest:
    """Keep as many rows of each group as the smallest group has, drawn with `seed` (SUBG, arXiv 2110.14503).

    Without columns, the classes are the groups.

    Raises:
        SalignError: as `number_groups`.
    """
    return rows.take(take_equal(number_groups(rows, columns)[1], np.random.default_rng(seed)))
