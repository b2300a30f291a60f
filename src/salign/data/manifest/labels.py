"""Labels of images that may have several, or none: names joined by `;` in the cell `label` of a manifest.

The order of the names means nothing: cells are read with their names sorted, so that equal sets are equal cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from salign.class_names import SEPARATOR, names_in
from salign.errors import SalignError

NONE = "(none)"
"""The name under which images without a label are counted."""
_SAID = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}


def sort_names(labels: pd.Series) -> pd.Series:
    """Return the cells with the names in each of them sorted."""
    return _each(labels, lambda cell: SEPARATOR.join(sorted(names_in(cell))))


def name_sets(labels: pd.Series) -> pd.Series:
    """Return a name for the set of labels in each cell: its names sorted, or `NONE` if it has none."""
    return sort_names(labels).fillna(NONE)


def keep_classes(labels: pd.Series, classes: Sequence[str]) -> pd.Series:
    """Remove the names that are not among the classes from each cell; a cell without names becomes empty (NA)."""
    return _each(labels, lambda cell: SEPARATOR.join(name for name in names_in(cell) if name in classes)).replace(
        "", pd.NA
    )


def single_names(labels: pd.Series) -> list[str]:
    """Return the names that occur in the cells, sorted."""
    return sorted({name for cell in labels.dropna().unique() for name in names_in(cell)})


def wrong_cells(labels: pd.Series) -> list[tuple[int, str]]:
    """Return position and message of every cell with a name that is empty, has spaces around it, or occurs twice."""
    messages = {cell: message for cell in labels.dropna().unique() if (message := _wrong(cell))}
    return [
        (int(i), messages[labels.iloc[i]]) for i in np.flatnonzero(labels.isin(list(messages)).to_numpy(dtype=bool))
    ]


def from_columns(table: pd.DataFrame, names: Sequence[str]) -> tuple[pd.Series, list[tuple[int, str, str]]]:
    """Join, for each row, the names of the columns that say yes.

    A cell says yes by 1, 1.0, true or yes; it says no by 0, 0.0, false, no or by being empty. Any other cell is a
    fault.

    Returns:
        `(N,)` cells of a manifest, and position, column and message of every fault.

    Raises:
        SalignError: a name contains `;`, which joins the names in a manifest.
    """
    _refuse(names)
    faults: list[tuple[int, str, str]] = []
    yes = np.zeros((len(table), len(names)), dtype=bool)
    for k, name in enumerate(names):
        cells = table[name].fillna("0").astype(str).tolist()
        answers = [_SAID.get(cell.strip().lower()) for cell in cells]
        faults += [
            (i, name, f"expected 1, or 0 or an empty cell, got {cells[i]!r}; write which it is")
            for i, answer in enumerate(answers)
            if answer is None
        ]
        yes[:, k] = [bool(answer) for answer in answers]
    joined = [SEPARATOR.join(name for name, here in zip(names, row, strict=True) if here) for row in yes]
    return pd.Series(joined, index=table.index, dtype=object), faults


def from_cells(labels: pd.Series, separator: str, none: str | None) -> tuple[pd.Series, list[tuple[int, str, str]]]:
    """Turn cells whose names are joined by another separator into cells of a manifest.

    Args:
        labels: the cells.
        separator: what joins the names in a cell.
        none: the name that stands for no label, if there is one.

    Returns:
        `(N,)` cells of a manifest, and position, column and message of every cell that has `none` beside a name.

    Raises:
        SalignError: a cell contains `;`, which joins the names in a manifest, or the separator is empty.
    """
    if not separator:
        raise SalignError("the separator between labels is empty; give what joins them, e.g. '|'.")
    if separator != SEPARATOR:
        _refuse(labels.dropna().unique())

    def names(cell: str) -> list[str]:
        return [name.strip() for name in cell.split(separator)]

    names_of = {cell: set(names(cell)) for cell in labels.dropna().unique()}
    torn = [cell for cell, cell_names in names_of.items() if none in cell_names and len(cell_names) > 1]
    faults = [
        (int(i), "label", f"{labels.iloc[i]!r} names a label, and says {none!r}, that there is none: which is it?")
        for i in np.flatnonzero(labels.isin(torn).to_numpy(dtype=bool))
    ]
    return _each(labels, lambda cell: "" if none in names_of[cell] else SEPARATOR.join(names(cell))), faults


def multi_hot(labels: pd.Series, classes: Sequence[str]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Return `(N, K)` bool: which of the classes each cell names; and position and name of every unknown name."""
    number = {name: k for k, name in enumerate(classes)}
    hot = np.zeros((len(labels), len(classes)), dtype=bool)
    unknown = []
    for i, cell in enumerate(labels.tolist()):
        for name in names_in(cell):
            if name in number:
                hot[i, number[name]] = True
            else:
                unknown.append((i, name))
    return hot, unknown


def by_name(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each label of each image, to count by class; an image without labels gets the label `NONE`."""
    names = [names_in(cell) or [NONE] for cell in table["label"].tolist()]
    return table.assign(label=pd.Series(names, index=table.index, dtype=object)).explode("label")


def _refuse(names: Iterable[str]) -> None:
    if wrong := next((name for name in names if SEPARATOR in name), None):
        raise SalignError(
            f"{wrong!r} has a {SEPARATOR!r}, which joins the labels of an image in a manifest; rename it."
        )


def _each(labels: pd.Series, change: Callable[[str], str]) -> pd.Series:
    """Apply `change` to the cells, once for each different cell."""
    return labels.map({cell: change(cell) for cell in labels.dropna().unique()}).astype(labels.dtype)


def _wrong(cell: str) -> str | None:
    names = names_in(cell)
    if "" in names:
        return f"{cell!r} has an empty name; expected names joined by {SEPARATOR!r}, or an empty cell"
    if any(name != name.strip() for name in names):
        tidy = SEPARATOR.join(name.strip() for name in names)
        return f"{cell!r} has spaces around a name; write {tidy!r}"
    if len(set(names)) < len(names):
        return f"{cell!r} has a name twice; write {SEPARATOR.join(dict.fromkeys(names))!r}"
    return None
