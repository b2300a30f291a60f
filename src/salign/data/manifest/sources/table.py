"""A CSV or Parquet table that has the facts, under other names."""

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
    """Rename columns; every other column stays as a free one.

    Args:
        table: The file.
        root: What its paths are relative to; the folder of the file when None.
        columns: Ours to theirs, e.g. `{"label": "class", "saliency": "mask"}`. `id` may be missing: the path is used.
            `saliency` may be missing: nobody looked.
        split: Name of the only split, where no column tells.
        labels: Images may have several labels: the columns that say 1 or 0 of one each, by whose names they are called.
        separator: Images may have several labels: what joins them in the column `label`, e.g. `|`.
        none: With a separator, the cell of an image without a label, e.g. `No Finding`.

    Raises:
        SalignError: a column named does not exist, or ours is not one of the manifest's; labels are told in two ways.
        ManifestError: the rows are not sound; all faults are listed, by the row in the file read.
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
