"""A CSV or Parquet table that has the columns of a manifest under other names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from salign.data.manifest import COLUMNS, Fault, Manifest, ManifestError
from salign.data.manifest.labels import from_cells, from_columns
from salign.data.manifest.text_table import read_table
from salign.errors import SalignError


def from_csv(
    table: Path | str,
    root: Path | str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
    labels: Sequence[str] = (),
    separator: str | None = None,
    none: str | None = None,
) -> Manifest:
    """Read a table as a manifest by renaming its columns; all other columns stay as free columns.

    A column of the table whose name a renamed column takes is dropped, and so are the columns in `labels`.

    Args:
        table: The file.
        root: Folder that the paths are relative to; the folder of the file when None.
        columns: Column of a manifest -> column of the table, e.g. `{"label": "class", "saliency": "mask"}`. Without an
            `id`, the path is used as the id. Without `saliency`, nobody looked at any image.
        split: Name of the only split, if no column gives the splits.
        labels: If images may have several labels: the columns that say 1 or 0 for one label each. The labels have the
            names of these columns.
        separator: If images may have several labels: what joins them in the column `label`, e.g. `|`.
        none: With a separator, the name that stands for no label, e.g. `No Finding`.

    Raises:
        SalignError: a named column does not exist, `columns` names a column that manifests do not have, labels are
            given in two ways, or `none` is given without a separator.
        ManifestError: the rows are not sound; all faults are listed with their rows in the file.
    """
    path, columns = Path(table), dict(columns or {})
    frame, broken = read_table(path)
    if broken:
        raise ManifestError.of([Fault(*fault) for fault in broken], str(path))
    strange = sorted(set(columns) - set(COLUMNS))
    absent = sorted({*columns.values(), *labels} - set(frame.columns))
    if strange:
        raise SalignError(f"columns of a manifest are {', '.join(COLUMNS)}; there is no {', '.join(strange)}.")
    if absent:
        raise SalignError(f"{path} has no column {', '.join(absent)}; it has {', '.join(frame.columns.drop('row'))}.")
    if labels and (separator is not None or "label" in columns):
        raise SalignError("labels are told by columns of 1 and 0, or by the names in one column; give one of the two.")
    if none is not None and separator is None:
        raise SalignError(f"{none!r} for images without a label goes with what joins several, e.g. the separator '|'.")
    picked = {ours: frame[theirs] for ours, theirs in columns.items()}
    consumed = {theirs for theirs in columns.values() if theirs not in COLUMNS or theirs in columns}
    frame = frame.drop(columns=list(consumed | (set(columns) & set(frame.columns)))).assign(**picked)
    wrong: list[tuple[int, str, str]] = []
    if labels:
        joined, wrong = from_columns(frame, labels)
        frame = frame.drop(columns=[*labels]).assign(label=joined)
    elif separator is not None and "label" in frame:
        joined, wrong = from_cells(frame["label"], separator, none)
        frame = frame.assign(label=joined)
    if wrong:
        raise ManifestError.of([Fault(int(frame["row"].iloc[i]), *details) for i, *details in wrong], str(path))
    if split is not None:
        frame = frame.assign(split=split)
    if "saliency" not in frame:
        frame = frame.assign(saliency="")
    if "id" not in frame and "path" in frame:
        frame = frame.assign(id=frame["path"])
    ordered = [name for name in COLUMNS if name in frame]
    frame = frame[[*ordered, *(name for name in frame.columns if name not in ordered)]]
    several = bool(labels) or separator is not None
    return Manifest.of(frame, path.parent if root is None else root, str(path), multi_label=several)
