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
"""How an image without a label is counted."""
_SAID = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}


def sort_names(labels: pd.Series) -> pd.Series:
    """Each cell with its names sorted."""
    return _each(labels, lambda cell: SEPARATOR.join(sorted(names_in(cell))))


def name_sets(labels: pd.Series) -> pd.Series:
    """Each cell as the name of its set of labels: its names sorted, or `NONE`."""
    return sort_names(labels).fillna(NONE)


def keep_classes(labels: pd.Series, classes: Sequence[str]) -> pd.Series:
    """Each cell without the names that are not among the classes; one that is left without any is empty (NA)."""
    return _each(labels, lambda cell: SEPARATOR.join(name for name in names_in(cell) if name in classes)).replace(
        "", pd.NA
    )


def single_names(labels: pd.Series) -> list[str]:
    """The names that occur, sorted."""
    return sorted({name for cell in labels.dropna().unique() for name in names_in(cell)})


def wrong_cells(labels: pd.Series) -> list[tuple[int, str]]:
    """Position and message of every cell with a name that is empty, has spaces around it, or comes twice."""
    messages = {cell: message for cell in labels.dropna().unique() if (message := _wrong(cell))}
    return [
        (int(i), messages[labels.iloc[i]]) for i in np.flatnonzero(labels.isin(list(messages)).to_numpy(dtype=bool))
    ]


def from_columns(table: pd.DataFrame, names: Sequence[str]) -> tuple[pd.Series, list[tuple[int, str, str]]]:
    """One cell per row of the names of those columns that say yes; what says neither yes nor no is a fault.

    Yes is 1, 1.0, true or yes; no is 0, 0.0, false, no or an empty cell.

    Returns:
        `(N,)` cells, and position, column and message of every fault.

    Raises:
        SalignError: a name has what joins several in a manifest.
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
    """Names that another separator joins; `none` is what a cell says where there is no label.

    Returns:
        The labels as cells of a manifest; and position, column and message of every cell with `none` beside a name.

    Raises:
        SalignError: a name has what joins several in a manifest, or the separator is empty.
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
    """`(N, K)` bool: which of the classes each cell names; and position and name of every other name."""
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
    """A row per image and name, `NONE` for an image without any: to count by class."""
    names = [names_in(cell) or [NONE] for cell in table["label"].tolist()]
    return table.assign(label=pd.Series(names, index=table.index, dtype=object)).explode("label")


def _refuse(names: Iterable[str]) -> None:
    if wrong := next((name for name in names if SEPARATOR in name), None):
        raise SalignError(
            f"{wrong!r} has a {SEPARATOR!r}, which joins the labels of an image in a manifest; rename it."
        )


def _each(labels: pd.Series, change: Callable[[str], str]) -> pd.Series:
    """Every different cell is changed once."""
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
