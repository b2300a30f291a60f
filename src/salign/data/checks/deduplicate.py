"""Pictures in more than one file: a table of them, and the rows that are left with one file of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from salign.data.checks.check import Report, check
from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.split import joined

_LEAST_MEASURED = ("train", "val")
"""Splits from which a copy is left out first; any other is one that is measured on."""


class Deduplication(NamedTuple):
    """What is left when one file of each picture is kept."""

    rows: list[int]
    """Rows of the file (`Manifest.table["row"]`) that are kept, in order."""
    left_out: list[int]
    """Rows that are not."""
    contradicting: list[list[int]]
    """Rows of groups whose labels differ: all of them are kept, since which label is right only their owner knows."""


def groups_of(report: Report, *, near: bool) -> list[list[int]]:
    """Groups of positions with the same picture in two files or more, each in order, by their first.

    Rows of one file, such as those of several annotators, are no copies of each other; all are in its group.

    Args:
        report: report of a check that decoded the pictures.
        near: join pictures that are nearly equal, too; a chain of such pairs is one group.
    """
    pairs = [(group[0], other) for group in report.same for other in group[1:]]
    if near:
        pairs += [(pair.first, pair.second) for pair in report.near]
    path = report.manifest.table["path"].tolist()
    return [group for group in joined(len(report.manifest), pairs) if len({path[i] for i in group}) > 1]


def equal_pictures(manifest: Manifest, *, progress: bool = False) -> list[list[int]]:
    """Groups of positions with equal or nearly equal pictures, in rows that may have no split yet.

    Raises:
        ManifestError: images or maps that cannot be read; every one is named.
    """
    report = check(manifest, progress=progress)
    if report.faults:
        hint = "bring whole copies of these files, or take them out of the folder and the table that lists them"
        if manifest.file is not None:
            raise ManifestError.of(report.faults, manifest.source, hint)
        raise ManifestError.of([fault._replace(row=None) for fault in report.faults], str(manifest.root), hint)
    return groups_of(report, near=True)


def without_duplicates(report: Report, *, near: bool = False) -> Deduplication:
    """Keep one file of each group, with all its rows.

    Of the copies that one is kept which is in a split that is measured on (any but `train` and `val`), else in `val`;
    of several there, one with a map, else the first. So a training image that is also a test image leaves training, no
    row changes its split, and the sets that figures are of stay as they are, but for copies among themselves. A group
    whose labels differ is kept whole.
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
    """A row for each picture that occurs in more than one file, group by group.

    Columns: `group` (1, 2, ...), `row, id, path, split, label`; `kind` (`equal` where another has the same pixels, else
    `near`); `similarity` (highest correlation with another of the group, 1 = equal); `splits` and `labels`, whether
    those of the group are the `same` or `differ`.
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
