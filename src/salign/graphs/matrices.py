"""Reader of matrices of connectivity in NumPy files: one per subject, symmetric and finite, kept as upper triangles."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from salign.data.manifest import Fault, ManifestError
from salign.data.manifest.faults import missing_columns
from salign.data.manifest.text_table import read_table
from salign.errors import SalignError, one_of
from salign.readers import open_file

MOST_BYTES = 4 * 10**9
_SHOWN = 10
LARGEST = 0.999
"""Largest absolute correlation in Fisher's z; larger ones are set to it, because z would be infinite for 1."""


@dataclass(frozen=True)
class Subjects:
    """The subjects to whom the matrices belong: row i of the table is row i of each array."""

    table: pd.DataFrame
    classes: tuple[str, ...]
    labels: np.ndarray
    """`(N,)` int64."""
    train: np.ndarray
    """`(n,)` int64 positions of the subjects from whom templates are made."""
    test: np.ndarray
    """`(m,)` int64 positions of all other subjects."""
    source: Path


def read_subjects(path: Path, label: str, split: str = "train") -> Subjects:
    """Read the table of subjects, with the column `split` and the column that `label` names.

    The training subjects are those with the split `split`; all others are test subjects.

    Raises:
        SalignError: a column or a cell is missing (the message names every such row), or a class has no training
            subject or no test subject.
    """
    table, wrong = read_table(path)
    faults = [Fault(*fault) for fault in (*wrong, *missing_columns(table, [label, "split"]))]
    if not faults:
        faults = [
            Fault(int(row), column, "the cell is empty")
            for column in (label, "split")
            for row in table["row"][table[column].isna()]
        ]
    if faults:
        raise ManifestError.of(faults, str(path))
    classes, labels = np.unique(table[label].to_numpy(object).astype(str), return_inverse=True)
    inside = (table["split"] == split).to_numpy(dtype=bool)
    for rows, side in ((inside, f"with split {split!r}"), (~inside, "with another split, to be measured on,")):
        if lacking := [name for k, name in enumerate(classes) if not (labels[rows] == k).any()]:
            splits = ", ".join(sorted(table["split"].unique()))
            raise SalignError(
                f"{path}: no subject {side} has {label} {', '.join(lacking)}; there must be one at least. The splits "
                f"are {splits}; --split says which is learned from."
            )
    return Subjects(
        table, tuple(map(str, classes)), labels.astype(np.int64), np.flatnonzero(inside), np.flatnonzero(~inside), path
    )


def read_matrices(path: Path, subjects: Subjects, names: Sequence[str] = (), *, fisher: bool = False) -> np.ndarray:
    """Read the matrices of subjects from a .npy or .npz file.

    An array holds matrices `(N, R, R)`, or their upper triangles row by row, `(N, R (R - 1) / 2)`.

    Args:
        path: the file.
        subjects: the subjects to whom the matrices belong.
        names: names of arrays in the .npz, one per view of the same subjects. If there are none, the file must hold a
            single array.
        fisher: whether the matrices hold correlations that are to be replaced by their `arctanh` (Fisher's z), after
            they are capped at `LARGEST`.

    Returns:
        `(N, V, T)` float32 upper triangles without the diagonal.

    Raises:
        SalignError: the file cannot be read, an array is missing or has another shape, or a matrix is not finite or not
            symmetric, or has values outside [-1, 1] although `fisher`. The message names the rows of such matrices.
    """
    views = []
    for name, array in _arrays(path, names).items():
        what = f"{path}{f', {name}' if name else ''}"
        triangles = _triangles(array, subjects, what)
        _refuse_rows(~np.isfinite(triangles).all(1), subjects, what, "hold NaN or infinity")
        if fisher:
            _refuse_rows((np.abs(triangles) > 1).any(1), subjects, what, "leave [-1, 1], so they are no correlations")
            triangles = np.arctanh(triangles.clip(-LARGEST, LARGEST))
        views.append(triangles)
    if len({view.shape[1] for view in views}) > 1:
        raise SalignError(f"{path}: the views have matrices of different sizes; expected one size.")
    return np.stack(views, 1)


def square(triangles: np.ndarray) -> np.ndarray:
    """Return symmetric matrices `(..., R, R)` with zeros on the diagonal from their upper triangles `(..., T)`."""
    side = regions(triangles.shape[-1])
    matrices = np.zeros((*triangles.shape[:-1], side, side), triangles.dtype)
    above = np.triu_indices(side, 1)
    matrices[..., above[0], above[1]] = triangles
    return matrices + np.swapaxes(matrices, -1, -2)


def regions(length: int) -> int:
    """Return the number of regions that have `length` pairs; 0 if there is no such number."""
    side = (1 + math.isqrt(1 + 8 * length)) // 2
    return side if side * (side - 1) // 2 == length else 0


def _arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    if path.suffix.lower() not in (".npy", ".npz"):
        raise SalignError(f"{path}: expected a .npy or .npz file, got {path.suffix or 'a file without suffix'}.")
    try:
        with open_file(path, limit=MOST_BYTES) as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {"": content}
            if sum(member.file_size for member in content.zip.infolist()) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES / 1e9:g} GB when unpacked")
            if not names and len(content.files) != 1:
                raise SalignError(f"{path} holds the arrays {', '.join(content.files)}; name one by --array.")
            for name in names:
                one_of(name, content.files, "--array")
            return {name: content[name] for name in names or content.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SalignError(f"{path}: cannot be read as NumPy arrays: {str(error)[:200]}") from error


def _triangles(array: np.ndarray, subjects: Subjects, what: str) -> np.ndarray:
    count = len(subjects.table)
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or len(array) != count:
        raise SalignError(
            f"{what}: expected (N, R, R) matrices, or (N, T) upper triangles, of numbers for the {count} rows of "
            f"{subjects.source}, got {array.dtype} {array.shape}."
        )
    if array.ndim == 2:
        if regions(array.shape[1]) < 2:
            raise SalignError(f"{what}: {array.shape[1]} numbers are no upper triangle; 6, 10, 15, ... would be one.")
        return array.astype(np.float32)
    if array.shape[1] != array.shape[2] or array.shape[1] < 2:
        raise SalignError(f"{what}: expected square matrices of two regions or more, got {array.shape}.")
    values = array.astype(np.float32)
    _refuse_rows(~np.isfinite(values).all((1, 2)), subjects, what, "hold NaN or infinity")
    apart = np.abs(values - values.transpose(0, 2, 1)).max((1, 2))
    _refuse_rows(apart > 1e-4 * np.abs(values).max((1, 2)), subjects, what, "are not symmetric")
    above = np.triu_indices(values.shape[1], 1)
    return values[:, above[0], above[1]]


def _refuse_rows(wrong: Any, subjects: Subjects, what: str, fault: str) -> None:
    if wrong.any():
        rows = subjects.table["row"].to_numpy()[wrong]
        listed = ", ".join(map(str, rows[:_SHOWN])) + (f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
        raise SalignError(f"{what}: the matrices of {subjects.source} row {listed} {fault}; mend or leave them out.")
