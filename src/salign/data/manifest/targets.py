"""Soft targets: the probability of each class for an image, read from a table or counted from people's answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from salign.data.manifest.faults import Fault, ManifestError
from salign.data.manifest.table import ANSWER
from salign.data.manifest.text_table import from_spreadsheet, read_table
from salign.errors import SalignError

ROUNDING = 1e-3
"""How far the sum of the probabilities of an image may be from 1, because they may have been rounded."""
_IDS = ("id", "images")
"""Columns that may hold the id of the image in a table of answers; the first that the table has is used."""


def read_targets(path: Path | str, ids: Sequence[str], labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Read the probability of each class for the images of a training set.

    The table has a column `id` and one column for each class, with the name of the class. Other columns are ignored,
    and rows of other images are checked but not used. An image that is not in the table gets probability 1 for its
    labels and 0 for all other classes. If each image has one label, its probabilities must sum to 1 to within
    `ROUNDING`, and are divided by their sum.

    Args:
        path: CSV or Parquet.
        ids: the ids of the `N` images.
        labels: `(N,)` class numbers; or `(N, K)` zeros and ones if an image may have several labels, in which case each
            class has a probability of its own.
        classes: the `K` names in the order of the logits.

    Returns:
        `(N, K)` float32 in [0, 1].

    Raises:
        SalignError: a column is missing, an id is empty or occurs twice, a cell is not a number from 0 to 1, or a sum
            is not 1; every such row is named. Or the table has none of the images.
    """
    table, wrong = read_table(Path(path))
    header = [name for name in table.columns if name != "row"]
    faults = [Fault(*fault) for fault in wrong] + [
        Fault(1, name, f"the column is missing; the header has {', '.join(header)}")
        for name in ("id", *classes)
        if name not in header
    ]
    if faults:
        raise ManifestError.of(faults, str(path))
    shares = table[list(classes)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    faults = wrong_ids(table) + _wrong_numbers(table, shares, classes)
    sums = shares.sum(1)
    if labels.ndim == 1:
        faults += [
            Fault(
                int(table["row"].iloc[i]),
                "id",
                f"the probabilities of {table['id'].iloc[i]!r} sum to {sums[i]:.4g}, not 1",
            )
            for i in np.flatnonzero(np.abs(sums - 1) > ROUNDING)
        ]
        shares = shares / np.where(sums > 0, sums, 1)[:, None]
    if faults:
        raise ManifestError.of(faults, str(path))
    rows = pd.Index(table["id"].to_numpy(dtype=object)).get_indexer(pd.Index(np.asarray(ids, dtype=object)))
    if not (rows >= 0).any():
        raise SalignError(
            f"{path}: none of the {len(ids)} training images is in it; expected ids such as {ids[0]!r}, got "
            f"{table['id'].head(1).tolist()}."
        )
    certain = np.eye(len(classes))[labels] if labels.ndim == 1 else labels
    return np.where((rows >= 0)[:, None], shares[rows], certain).astype(np.float32)


def count_answers(path: Path | str, classes: Sequence[str] = ()) -> pd.DataFrame:
    """Make soft targets from several people's answers about the same images: the share of people who gave each answer.

    Args:
        path: a table with one row per answer, such as `annotations.csv` of an export of annotations, with the columns
            `answer`, `id` (or `images`), and optionally `annotator`; without `annotator`, each row counts as a person
            of its own. Rows without an answer do not count, and neither do rows of a review whose answer is the verdict
            on a draft instead of a class. If a person answered n times about an image, each answer counts 1/n.
        classes: the classes in the order of their columns, to be given if nobody may have chosen some of them. If
            empty, the classes are the answers that occur, sorted.

    Returns:
        One row per image, sorted by id: the column `id`, and one column per class. The probabilities of a row sum to 1.

    Raises:
        SalignError: the table lacks these columns, or has no answer; an answer chooses one image of a pair, is not
            among `classes`, or is `id`.
    """
    table, wrong = read_table(Path(path))
    if wrong:
        raise ManifestError.of([Fault(*fault) for fault in wrong], str(path))
    name = next((name for name in _IDS if name in table.columns), None)
    if name is None or ANSWER not in table.columns:
        raise SalignError(
            f"{path}: expected a row per answer with the columns id (or images) and {ANSWER}, as annotations.csv of "
            f"`salign annotate` has; got {', '.join(column for column in table.columns if column != 'row')}."
        )
    table = table[table[name].notna() & table[ANSWER].notna()]
    if table.empty:
        raise SalignError(f"{path}: no row has an answer, so there is nothing to count.")
    if "review" in table.columns:
        table = table[table["review"].isna() | (table["review"] != table[ANSWER])]
    if table.empty:
        raise SalignError(
            f"{path}: every answer says whether the draft of a map is accepted, edited or rejected, and none which "
            "class an image has, so there are no soft targets in them; the study of a review has to ask for classes."
        )
    _refuse_pairs(table, name, path)
    people = table["annotator"].fillna("") if "annotator" in table.columns else table["row"]
    votes = pd.DataFrame(
        {
            "id": table[name].map(from_spreadsheet),
            "answer": table[ANSWER].map(from_spreadsheet),
            "person": people.astype(str),
        }
    )
    votes["share"] = 1 / votes.groupby(["id", "person"])["answer"].transform("size")
    each = votes.pivot_table(index="id", columns="answer", values="share", aggfunc="sum", fill_value=0.0)
    shares = each.div(each.sum(axis=1), axis=0)
    if strange := [answer for answer in shares.columns if classes and answer not in classes]:
        raise SalignError(
            f"{path}: the answers {', '.join(map(repr, strange))} are not among the classes {', '.join(classes)}; "
            "name every class."
        )
    shares = shares.reindex(columns=list(dict.fromkeys(classes or shares.columns)), fill_value=0.0)
    if "id" in shares.columns:
        raise SalignError(f"{path}: 'id' is an answer, and cannot be a class, whose column has its name; rename it.")
    return shares.rename_axis(columns=None).reset_index()


def _refuse_pairs(table: pd.DataFrame, name: str, path: Path | str) -> None:
    """Raise SalignError if answers choose one of the two images of a pair."""
    if name == "id":
        return
    if "unit" in table.columns:  # the unit of a single image is the id of the image
        pairs = table["unit"].notna() & (table["unit"] != table[name])
    else:  # pairs only if every answer is one of the names in its row, because "cat" of "cat 1.png" may be a class
        cells = zip(table[name], table[ANSWER], strict=True)
        pairs = pd.Series(all(" " in cell and answer in cell.split(" ") for cell, answer in cells), table.index)
    if pairs.any():
        first = table[pairs].iloc[0]
        raise SalignError(
            f"{path} row {first['row']}: the answer says which image of a pair was chosen, {first[ANSWER]!r} of "
            f"{first[name]!r}, not which class an image has, so there is no soft target in it."
        )


def wrong_ids(table: pd.DataFrame, what: str = "an image") -> list[Fault]:
    """Find the cells of the column `id` that are empty or repeated; `what` says in messages what an id stands for."""
    missing, twice = table["id"].isna(), table["id"].duplicated() & table["id"].notna()
    return [Fault(int(row), "id", "the cell is empty") for row in table["row"][missing]] + [
        Fault(int(row), "id", f"{name!r} comes twice; {what} has one row")
        for row, name in zip(table["row"][twice], table["id"][twice], strict=True)
    ]


def _wrong_numbers(table: pd.DataFrame, shares: np.ndarray, classes: Sequence[str]) -> list[Fault]:
    faults = []
    for i, k in zip(*np.nonzero(~((shares >= 0) & (shares <= 1))), strict=True):
        cell = table[classes[k]].iloc[i]
        came = "the cell is empty" if pd.isna(cell) else f"got {cell!r}"
        faults.append(Fault(int(table["row"].iloc[i]), classes[k], f"expected a probability from 0 to 1; {came}"))
    return faults
