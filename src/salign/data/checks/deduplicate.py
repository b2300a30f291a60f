"""Find pictures that occur in more than one file; list them in a table, or keep one file of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from salign.data.checks.check import Report, check
from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.split import joined

_LEAST_MEASURED = ("train", "val")
"""Splits from which copies are left out first, in this order; every other split is one to measure on."""


class Deduplication(NamedTuple):
    """Which rows are kept, and which are left out, if one file of each picture is kept."""

    rows: list[int]
    """Rows of the file (`Manifest.table["row"]`) that are kept, in order."""
    left_out: list[int]
    """Rows that are left out, in order."""
    contradicting: list[list[int]]
    """Rows of each group whose labels differ; they are all kept, because only the owner knows which label is right."""


def groups_of(report: Report, *, near: bool) -> list[list[int]]:
    """Group the positions whose pictures are the same in two or more files.

    Rows of the same file, such as one for each annotator, are not copies of each other; all of them are in the group of
    their file.

    Args:
        report: report of a check that decoded the pictures.
        near: also join pictures that are nearly equal; a chain of nearly equal pairs is one group.

    Returns:
        Groups of positions. Each group is sorted, and the groups are in the order of their first position.
    """
    pairs = [(group[0], other) for group in report.same for other in group[1:]]
    if near:
        pairs += [(pair.first, pair.second) for pair in report.near]
    path = report.manifest.table["path"].tolist()
    return [group for group in joined(len(report.manifest), pairs) if len({path[i] for i in group}) > 1]


def equal_pictures(manifest: Manifest, *, progress: bool = False) -> list[list[int]]:
    """Check a manifest and group the positions with equal or nearly equal pictures; rows may have no split yet.

    Raises:
        ManifestError: images or maps cannot be read; each of them is named.
    """
    report = check(manifest, progress=progress)
    if report.faults:
        hint = "bring whole copies of these files, or take them out of the folder and the table that lists them"
        if manifest.file is not None:
            raise ManifestError.of(report.faults, manifest.source, hint)
        raise ManifestError.of([fault._replace(row=None) for fault in report.faults], str(manifest.root), hint)
    return groups_of(report, near=True)


def without_duplicates(report: Report, *, near: bool = False) -> Deduplication:
    """Keep one file of each group of copies, with all its rows.

    The copy that is kept is in a split to measure on (any but `train` and `val`), or else in `val`, or else in `train`.
    Of several copies there, one with a map is kept, or else the first. So a training image that is also a test image is
    left out of training, no row changes its split, and the splits to measure on stay as they are, except for copies
    among them. A group whose labels differ is kept whole.

    Args:
        report: report of a check that decoded the pictures.
        near: whether nearly equal pictures are copies, too.
    """
    table = report.manifest.table
    label, split, path = (table[name].tolist() for name in ("label", "split", "path"))
    mapped = table["saliency"].notna().tolist()
    numbers = [int(row) for row in table["row"]]

    def worth(i: int) -> tuple[int, bool, int]:
        use = _LEAST_MEASURED.index(split[i]) if split[i] in _LEAST_MEASURED else len(_LEAST_MEASURED)
        return -use, not mapped[i], i

    out: set[int] = set()
    contradicting = []
    for group in groups_of(report, near=near):
        if len({label[i] for i in group}) > 1:
            contradicting.append([numbers[i] for i in group])
        else:
            best = path[min(group, key=worth)]
            out |= {i for i in group if path[i] != best}
    rows = [row for i, row in enumerate(numbers) if i not in out]
    return Deduplication(rows, [numbers[i] for i in sorted(out)], contradicting)


def duplicate_table(report: Report) -> pd.DataFrame:
    """Return a table of the pictures that occur in more than one file, with a row for each of their rows, by group.

    The columns are `group` (1, 2, ...); `row, id, path, split, label`; `kind` (`equal` if another picture of the group
    has the same pixels, else `near`); `similarity` (the highest correlation with another picture of the group, 1 =
    equal); and `splits` and `labels` (`same` or `differ`, for the whole group).
    """
    best: dict[int, float] = dict.fromkeys((i for group in report.same for i in group), 1.0)
    for pair in report.near:
        for i in (pair.first, pair.second):
            best[i] = max(best.get(i, 0.0), pair.similarity)
    equal = {i for group in report.same for i in group}
    table = report.manifest.table
    rows = [
        {
            "group": number,
            **{name: table[name].iat[i] for name in ("row", "id", "path", "split", "label")},
            "kind": "equal" if i in equal else "near",
            "similarity": round(best[i], 4),
            "splits": _said(table["split"], group),
            "labels": _said(table["label"], group),
        }
        for number, group in enumerate(groups_of(report, near=True), 1)
        for i in group
    ]
    names = ["group", "row", "id", "path", "split", "label", "kind", "similarity", "splits", "labels"]
    return pd.DataFrame(rows, columns=names)


def _said(cells: pd.Series, group: Sequence[int]) -> str:
    return "same" if cells.iloc[list(group)].nunique() == 1 else "differ"
