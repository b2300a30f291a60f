"""The manifest: one table of images, labels, splits and saliency maps; the contract between data and the rest."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from salign.data.manifest.faults import (
    EMPTY,
    NO_FILE,
    Fault,
    ManifestError,
    as_on_disk,
    cell_faults,
    look_alikes,
    missing_columns,
    path_faults,
)
from salign.data.manifest.labels import by_name, keep_classes, single_names, sort_names
from salign.data.manifest.provenance import MACHINE, PROVENANCE, UNKNOWN, map_columns, provenance_column
from salign.data.manifest.root import record_root, root_of
from salign.data.manifest.text_table import TEXT, check_manifest_file, read_table, write_table
from salign.data.manifest.verdict import MANY, Verdict
from salign.errors import SalignError, nearest
from salign.location import absolute, is_remote

COLUMNS = ("id", "path", "label", "split", "saliency")
"""Columns that every manifest has. Cells of `saliency` may be empty (nobody looked at the image), and a table without
this column says so of all images. Cells of the others may not be empty. Further columns are free."""

ANSWER = "answer"
"""Free column with the answer that most annotators gave; the label that was known before stays in `label`."""

NO_SPLIT = "(none)"
"""The cell `split` of a row without a split, where this is allowed (`Manifest.read(..., unsplit=True)`)."""


class Makers(NamedTuple):
    """How many maps are from people, from machines, and of unknown origin."""

    people: int
    machines: int
    unknown: int
    """Maps from a column without provenance; see `Manifest.with_maps`."""


@dataclass(frozen=True)
class Manifest:
    """Images with labels, splits and maps, by position 0..n-1.

    The table holds Arrow strings (no Python object per cell), so that it stays small and forked workers share it.
    """

    table: pd.DataFrame
    """`COLUMNS`, the free columns, and `row` (int64, where the record stood in the file); the index is 0..n-1."""
    root: Path
    """Folder that `path` and `saliency` are relative to."""
    source: str
    """Name for messages, e.g. `manifest.csv`. If it is empty, messages name the image or map file instead."""
    multi_label: bool = False
    """Whether an image may have several labels, joined by `;`, or none. If so, each name in the cell is a label."""
    file: Path | None = None
    """The file that the manifest was read from; None if it was made by code."""

    @classmethod
    def read(
        cls, path: str | Path, root: str | Path | None = None, *, multi_label: bool = False, unsplit: bool = False
    ) -> Manifest:
        """Read a `.csv` or `.parquet` manifest, and check its structure and that every file exists.

        The pixels of the files are not read. A manifest of `MANY` or more rows is checked once, and again only when it
        or a folder of its files has changed; see `salign.data.manifest.verdict`.

        Args:
            path: the manifest.
            root: folder that the paths are relative to; None = the root recorded beside the manifest, else the
                manifest's own folder.
            multi_label: whether an image may have several labels, joined by `;`, or none (an empty cell).
            unsplit: whether rows, or the whole table, may have no split; such rows get the split `NO_SPLIT`.

        Raises:
            ManifestError: lists every fault: missing columns, empty cells, repeated ids, paths that are absolute or
                leave the root (through `..` or a link), missing files, files with two labels, labels and splits with
                spaces around them or with control characters, and empty or repeated names in a cell of labels.
            SalignError: the file cannot be read as a table.
        """
        path = absolute(path) if is_remote(path) else Path(path)
        check_manifest_file(path)
        verdict = Verdict(path, "structure and paths", str(_top(path, root)), multi_label, unsplit)
        sound = verdict.holds
        manifest, faults = cls.unchecked(path, root, multi_label=multi_label, sound=sound)
        if unsplit:
            splits = manifest.table["split"] if "split" in manifest.table else pd.Series(pd.NA, manifest.table.index)
            manifest = manifest.with_splits(splits.astype(TEXT).fillna(NO_SPLIT))
        if sound:
            return manifest._ordered()
        faults += manifest.faults()
        if faults:
            raise ManifestError.of(faults, str(path), manifest._hint(faults))
        if len(manifest) >= MANY:
            verdict.note([manifest.table["path"], manifest.table["saliency"]], manifest.root)
        return manifest._ordered()

    @classmethod
    def unchecked(
        cls, path: str | Path, root: str | Path | None = None, *, multi_label: bool = False, sound: bool = False
    ) -> tuple[Manifest, list[Fault]]:
        """Read a manifest without looking for the faults that `faults` finds.

        Args:
            path: the manifest.
            root: as for `read`.
            multi_label: as for `read`.
            sound: whether the file was read before and has not changed.

        Returns:
            The manifest, and the faults of whole lines: records with the wrong number of cells.

        Raises:
            SalignError: the file cannot be read as a table.
        """
        path = Path(path)
        table, faults = read_table(path, sound=sound)
        top = _top(path, root)
        return cls(_completed(table, top), top, path.name, multi_label, path), [Fault(*fault) for fault in faults]

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        root: str | Path,
        source: str = "manifest",
        *,
        multi_label: bool = False,
        absent: bool = False,
    ) -> Manifest:
        """Make a manifest from a table in memory, and check it as `read` does.

        Cells become text, and empty cells become NA. If the table has no column `row`, its rows get the numbers that
        they will have in the file that `write` writes.

        Args:
            table: the columns of a manifest.
            root: folder that the paths are relative to.
            source: name for messages.
            multi_label: as for `read`.
            absent: whether files may be missing; it is still a fault if all images are.

        Raises:
            ManifestError: as for `read`.
        """
        text = table.drop(columns="row", errors="ignore").astype(TEXT).reset_index(drop=True)
        text = text.replace("", pd.NA)
        rows = table["row"].to_numpy(dtype="int64") if "row" in table else np.arange(len(table)) + 2
        top = absolute(root)
        manifest = cls(_completed(text.assign(row=rows), top), top, source, multi_label)
        faults = manifest.faults()
        if absent and not manifest._lost(faults):
            faults = [fault for fault in faults if not fault.message.startswith(NO_FILE)]
        if faults:
            raise ManifestError.of(faults, source)
        return manifest._ordered()

    def _ordered(self) -> Manifest:
        """Sort the names in each cell of labels if images may have several, so that equal sets are equal cells."""
        if not self.multi_label:
            return self
        return replace(self, table=self.table.assign(label=sort_names(self.table["label"])))

    def faults(self) -> list[Fault]:
        """Return everything that is wrong with structure and paths by the rules of `read`."""
        if missing := missing_columns(self.table, COLUMNS[:4]):
            return [Fault(*fault) for fault in missing]
        if not len(self.table):
            return [Fault(None, "table", "there is no row; a manifest has at least one image")]
        faults = cell_faults(self.table, COLUMNS[:4], multi_label=self.multi_label)
        faults += path_faults(self.table, self.root, ("path", "saliency"))
        return [Fault(*fault) for fault in faults]

    def questions(self) -> list[str]:
        """Return questions to the owner: names of labels, splits and free columns that differ only in writing.

        See `look_alikes` for the differences that count as writing.
        """
        known = {"id", "path", "saliency", "row", *map_columns(self.table)}
        names = [str(name) for name in self.table.columns if name not in known]
        return look_alikes(self.table, names, multi_label=self.multi_label)

    def _hint(self, faults: Iterable[Fault]) -> str:
        """Return advice on empty labels, or on the root if no image at all is found below it; else an empty text."""
        if any(fault.column == "label" and fault.message == EMPTY for fault in faults):
            return "an empty label, for none of the classes, goes with data.multi_label: true in a recipe only"
        if not self._lost(faults):
            return ""
        return f"no image is below {self.root}: say what the paths are relative to, by --root or data.root in a recipe"

    def _lost(self, faults: Iterable[Fault]) -> bool:
        """Return whether the files of all images are missing."""
        lost = {fault.row for fault in faults if fault.column == "path" and fault.message.startswith(NO_FILE)}
        return len(lost) == len(self.table)

    def write(self, path: str | Path) -> Path:
        """Write a `.csv` or `.parquet` file, atomically, without the column `row`.

        Paths are written relative to the root. If the file does not lie in the root but in a folder below it, the root
        is recorded beside the file, so that `read` finds it again; see `salign.data.manifest.root`.
        """
        written = write_table(self.table.drop(columns="row"), Path(path))
        record_root(written, self.root)
        return written

    def __len__(self) -> int:
        return len(self.table)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        if self.multi_label:
            return tuple(single_names(self.table["label"]))
        return tuple(sorted(self.table["label"].dropna().unique()))

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits, sorted."""
        return tuple(sorted(self.table["split"].dropna().unique()))

    def take(self, positions: Sequence[int] | np.ndarray) -> Manifest:
        """Pick the rows at these positions, in this order."""
        return replace(self, table=self.table.iloc[np.asarray(positions, dtype=np.int64)].reset_index(drop=True))

    def with_splits(self, splits: Sequence[str] | pd.Series) -> Manifest:
        """Return the same rows with these splits, one for each row."""
        values = pd.Series(list(splits), index=self.table.index, dtype=TEXT)
        return replace(self, table=self.table.assign(split=values))

    def select(self, splits: Sequence[str] | None = None, classes: Sequence[str] | None = None) -> Manifest:
        """Pick the rows of these splits and classes (None = all).

        If images may have several labels, labels of other classes are removed from the cells, and all rows stay.

        Raises:
            SalignError: a split or class does not occur (the message names those that do), or no row is left.
        """
        keep = np.ones(len(self), dtype=bool)
        for column, names, known in (("split", splits, self.splits), ("label", classes, self.classes)):
            if names is None:
                continue
            unknown = sorted(set(names) - set(known))
            if unknown:
                raise SalignError(
                    f"{self.source}: no row has {column} {', '.join(map(repr, unknown))}; there are {', '.join(known)}"
                )
            if column == "split" or not self.multi_label:
                keep &= self.table[column].isin(list(names)).to_numpy(dtype=bool)
        if not keep.any():
            raise SalignError(
                f"{self.source}: nothing is left for splits {_named(splits)} and classes {_named(classes)}; "
                f"images per split and class: {self._counts()}"
            )
        chosen = self if keep.all() else self.take(np.flatnonzero(keep))
        if classes is None or not self.multi_label:
            return chosen
        return replace(chosen, table=chosen.table.assign(label=keep_classes(chosen.table["label"], classes)))

    def with_maps(self, column: str) -> Manifest:
        """Take the saliency maps from another column, whose cells may be empty; its paths are checked as by `read`.

        The column `provenance` takes the cells of the column `COLUMN_provenance`. If there is no such column, the maps
        of `saliency_WHO` are taken for those of the person WHO, and the maps of any other column are `unknown`.

        Raises:
            SalignError: there is no such column, or it is a column of a manifest that does not hold maps.
            ManifestError: files are missing or outside of the root; each is named with its row.
        """
        if column == "saliency":
            return self
        known = [str(name) for name in self.table.columns if name not in (*COLUMNS[:4], "row")]
        if column not in known:
            hint = nearest(column, known) or f"; there are {', '.join(known)}"
            raise SalignError(f"{self.source}: no column {column!r} to take maps from{hint}")
        maps, whose = as_on_disk(self.table[column], self.root), provenance_column(column)
        if faults := path_faults(self.table.assign(**{column: maps}), self.root, (column,)):
            raise ManifestError.of([Fault(*fault) for fault in faults], self.source)
        if whose in self.table:
            makers = self.table[whose]
        else:
            makers = pd.Series(map_columns([column]).get(column, UNKNOWN), index=maps.index, dtype=TEXT)
        table = self.table.assign(**{"saliency": maps, PROVENANCE: makers.where(maps.notna())})
        return replace(self, table=table)

    def image_id(self, i: int) -> str:
        """Return the id of the image at position `i`."""
        return str(self._cells("id")[i])

    def image_path(self, i: int) -> Path:
        """Return the file of the image at position `i`."""
        return self.root / str(self._cells("path")[i])

    def saliency_path(self, i: int) -> Path | None:
        """Return the file of the map at position `i`, or None if nobody looked at the image."""
        name = self._cells("saliency")[i]
        return None if name is pd.NA else self.root / str(name)

    def where(self, i: int, column: str = "path") -> str:
        """Return how messages name position `i`, such as `manifest.csv row 7 (images/a.png)`."""
        if not self.source:
            return str(self.root / self._cells(column)[i])
        return f"{self.source} row {self._cells('row')[i]} ({self._cells(column)[i]})"

    def _cells(self, column: str) -> Any:
        """Return a column as an array, which is kept for the next call.

        To take the column out of the table for each cell would cost more time than to read a small image.
        """
        if column not in self._arrays:
            self._arrays[column] = self.table[column].array
        return self._arrays[column]

    @functools.cached_property
    def _arrays(self) -> dict[str, Any]:
        return {}

    def coverage(self) -> pd.DataFrame:
        """Count the images with a map: columns `split, label, images, with_map, share` (0..1).

        An image with several labels counts for each of them, and an image without a label counts as `(none)`.
        """
        mapped = self.table.assign(mapped=self.table["saliency"].notna().astype("int64"))
        mapped = by_name(mapped) if self.multi_label else mapped
        grouped = mapped.groupby(["split", "label"], sort=True)["mapped"]
        counts = grouped.agg(images="size", with_map="sum").reset_index()
        return counts.assign(share=counts["with_map"] / counts["images"])

    @property
    def machine_made(self) -> np.ndarray:
        """`(N,)` bool: whether each image has a map that a machine made."""
        if PROVENANCE not in self.table:
            return np.zeros(len(self), dtype=bool)
        by_machine = self.table[PROVENANCE].str.startswith(MACHINE).fillna(False)
        return (by_machine & self.table["saliency"].notna()).to_numpy(dtype=bool)

    @property
    def makers(self) -> Makers:
        """How many of the maps are from people, from machines, and of unknown origin."""
        mapped, machines, unknown = self.table["saliency"].notna(), int(self.machine_made.sum()), 0
        if PROVENANCE in self.table:
            unknown = int((mapped & (self.table[PROVENANCE] == UNKNOWN).fillna(False)).sum())
        return Makers(int(mapped.sum()) - machines - unknown, machines, unknown)

    def of_people(self) -> Manifest:
        """Return the same rows without the maps that machines made, because models are measured against people only."""
        maps = self.table["saliency"].where(~self.machine_made)
        return replace(self, table=self.table.assign(saliency=maps))

    def _counts(self) -> str:
        counts = self.coverage()
        rows = zip(counts["split"], counts["label"], counts["images"], strict=True)
        return ", ".join(f"{split}/{label} {images}" for split, label, images in rows)


def _top(path: Path, root: str | Path | None) -> Path:
    """Return the folder that the paths in a manifest are relative to: `root`, or what `root_of` finds if it is None."""
    return root_of(path) if root is None else absolute(root)


def _named(names: Sequence[str] | None) -> str:
    return "(all)" if names is None else f"[{', '.join(names)}]"


def _completed(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Add the column `saliency` if it is missing, and bring paths to the form of Unicode that they have on the disk."""
    if "saliency" not in table:
        table = table.assign(saliency=pd.Series(pd.NA, index=table.index, dtype=TEXT))
    named = {name: as_on_disk(table[name], root) for name in ("path", "saliency") if name in table}
    return table.assign(**named)
