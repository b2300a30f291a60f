"""A CSV or Parquet table that has the facts, under other names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from salign.data.manifest import COLUMNS, Fault, Manifest, ManifestError
from salign.data.tables import read_table
from salign.types import SalignError


def from_csv(
    table: Path | str,
    root: Path | str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
) -> Manifest:
    """Rename columns; every other column stays as a free one.

    Args:
        table: The file.
        root: What its paths are relative to; the folder of the file when None.
        columns: Ours to theirs, e.g. `{"label": "class", "saliency": "mask"}`. `id` may be missing: the path is used.
            `saliency` may be missing: nobody looked.
        split: Name of the only split, where no column tells.

    Raises:
        SalignError: a column named does not exist, or ours is not one of the manifest's.
        ManifestError: the rows are not sound; all faults are listed, by the row in the file read.
    """
    path, columns = Path(table), dict(columns or {})
    frame, broken = read_table(path)
    if broken:
        raise ManifestError.of([Fault(*fault) for fault in broken], str(path))
    strange = sorted(set(columns) - set(COLUMNS))
    absent = sorted(set(columns.values()) - set(frame.columns))
    if strange:
        raise SalignError(f"columns of a manifest are {', '.join(COLUMNS)}; there is no {', '.join(strange)}.")
    if absent:
        raise SalignError(f"{path} has no column {', '.join(absent)}; it has {', '.join(frame.columns.drop('row'))}.")
    picked = {ours: frame[theirs] for ours, theirs in columns.items()}
    consumed = {theirs for theirs in columns.values() if theirs not in COLUMNS or theirs in columns}
    frame = frame.drop(columns=list(consumed | (set(columns) & set(frame.columns)))).assign(**picked)
    if split is not None:
        frame = frame.assign(split=split)
    if "saliency" not in frame:
        frame = frame.assign(saliency="")
    if "id" not in frame and "path" in frame:
        frame = frame.assign(id=frame["path"])
    ordered = [name for name in COLUMNS if name in frame]
    frame = frame[[*ordered, *(name for name in frame.columns if name not in ordered)]]
    return Manifest.of(frame, path.parent if root is None else root, str(path))
