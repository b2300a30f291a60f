"""Find what is wrong with the cells of a manifest, as (row, column, message), and which names look alike."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from salign.class_names import names_in
from salign.data.manifest.labels import sort_names, wrong_cells
from salign.data.manifest.path_columns import different_files, doubtful, not_ascii
from salign.data.manifest.shard_index import shard_faults
from salign.errors import SalignError
from salign.location import MEMBER, is_remote, url_text

Found = tuple[int | None, str, str]

NO_FILE = "no such file"
EMPTY = "the cell is empty"

MOST_NAMES = 100_000
_SHOWN = 5
_LISTED = 50
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d*)?", re.ASCII)
_AROUND = r"(?:^|/)\.{1,2}/|//"
"""Matches a part of a path (`./`, `../` or `//`) without which the path may be shorter and name the same file."""


class Fault(NamedTuple):
    """One thing that is wrong in a manifest."""

    row: int | None
    """Line of the CSV file (header = 1), or number of the record + 1 in a Parquet file; None if no single row is
    wrong."""
    column: str
    message: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.message}" if self.row else f"{self.column}: {self.message}"


class ManifestError(SalignError):
    """The error that reports everything that is wrong with a manifest at once."""

    faults: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, faults: Iterable[Fault], source: str, hint: str = "") -> ManifestError:
        """Make an error whose message has the first 50 faults, by row, and the hint; `faults` holds all of them."""
        ordered = tuple(sorted(faults, key=lambda fault: fault.row or 0))
        lines = [f"{source}: {len(ordered)} fault{'s' if len(ordered) != 1 else ''}"]
        lines += [f"  {fault}" for fault in ordered[:_LISTED]]
        if len(ordered) > _LISTED:
            lines.append(f"  and {len(ordered) - _LISTED} more")
        if hint:
            lines.append(hint)
        error = cls("\n".join(lines))
        error.faults = ordered
        return error


def missing_columns(table: pd.DataFrame, needed: Sequence[str]) -> list[Found]:
    """Find the columns that are missing, with a hint at a column that may have been meant.

    If the header is separated by semicolons or tabs instead of commas, that is the only fault.
    """
    header = [str(name) for name in table.columns if name not in ("row", "saliency")]
    alike = {name.strip().lower(): name for name in header}
    faults: list[Found] = []
    for column in needed:
        if column not in header:
            hint = f"; rename {alike[column]!r}" if column in alike else ""
            faults.append((1, column, f"the column is missing; the header has {', '.join(map(repr, header))}{hint}"))
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and sign in header[0]:
            return [(1, "header", f"{name} part the cells: {header[0]!r}; save the table with commas")]
    return faults


def cell_faults(table: pd.DataFrame, needed: Sequence[str], *, multi_label: bool) -> list[Found]:
    """Find what is wrong with cells on their own, without a look at the disk.

    The faults are empty cells, repeated ids, files with two labels, labels and splits with spaces around them or with
    control characters, and sets of labels as in `wrong_cells`.
    """
    rows = table["row"]
    faults: list[Found] = [
        (int(row), column, EMPTY)
        for column in needed
        if not (multi_label and column == "label")
        for row in rows[table[column].isna()]
    ]
    faults += _duplicate_ids(table)
    faults += _contradicting_labels(table, multi_label=multi_label)
    if multi_label:
        faults += [(int(rows.iloc[i]), "label", message) for i, message in wrong_cells(table["label"])]
    for column in ("split",) if multi_label else ("label", "split"):
        cells = table[column]
        spaced = {cell for cell in cells.dropna().unique() if cell != cell.strip()}
        for i in np.flatnonzero(cells.isin(list(spaced)).to_numpy(dtype=bool)) if spaced else ():
            cell = cells.iloc[i]
            faults.append((int(rows.iloc[i]), column, f"{cell!r} has spaces around it; write {cell.strip()!r}"))
    for column in ("label", "split"):
        cells = table[column]
        torn = [
            cell
            for cell in cells.dropna().unique()
            if any(unicodedata.category(character) == "Cc" for character in cell)
        ]
        for row, cell in zip(rows[cells.isin(torn)], cells[cells.isin(torn)], strict=True) if torn else ():
            faults.append(
                (int(row), column, f"{cell!r} holds a line break or another control character; write it in one line")
            )
    return faults


def path_faults(table: pd.DataFrame, root: Path, columns: Sequence[str]) -> list[Found]:
    """Find the cells that do not name a file inside of the root.

    A folder with many files is listed once; only the names that this does not settle are looked up one by one, and each
    folder is resolved once. A shard that does not exist, or does not have the size in its index, is a single fault, at
    the first row that names a part of it.
    """
    folders: dict[str, str | None] = {}
    faults: list[Found] = []
    shards_seen: set[str] = set()
    for column in columns:
        names = table[column]
        files = different_files(names)
        wrong = {name: fault for name in doubtful(files, root) if (fault := _path_fault(name, root, folders))}
        shards = [name for name in files.filter(pc.ends_with(files, ".tar")).to_pylist() if name not in wrong]
        wrong |= shard_faults(root, shards)
        if wrong:
            hit = names.isin(list(wrong)).to_numpy(dtype=bool)
            faults += [(int(row), column, wrong[name]) for row, name in zip(table["row"][hit], names[hit], strict=True)]
            inside = names[~hit].str.extract(f"^(?P<shard>.*){MEMBER}")["shard"] + ".tar"
            rows = table["row"][~hit].groupby(inside).agg(["first", "size"])
            faults += [
                (int(rows["first"][name]), column, f"{fault} ({rows['size'][name]:,} rows are in it)")
                for name, fault in wrong.items()
                if name in rows.index and name not in shards_seen
            ]
            shards_seen |= set(wrong)
    return faults


def as_on_disk(names: pd.Series, root: Path) -> pd.Series:
    """Return paths in the form of Unicode that they have on the disk.

    `é` as one code point and as two is the same name to people, and a disk or an archive may have changed the form
    unseen. A path changes only if it does not exist as it stands, and exists in another form.
    """
    if is_remote(root):
        return names
    strange = [name for name in not_ascii(names) if "\0" not in name]
    there = {name: other for name in strange if (other := _other_form(name, root))}
    return names.map(lambda name: there.get(name, name), na_action="ignore").astype(names.dtype) if there else names


def look_alikes(table: pd.DataFrame, columns: Sequence[str], *, multi_label: bool = False) -> list[str]:
    """Return a question for every group of names in a column that differ only by the way they are written.

    A column with more than `MOST_NAMES` different cells is skipped, because such a column does not name kinds of
    images.
    """
    messages = []
    for column in columns:
        cells, counts = table[column].value_counts(), dict[str, int]()
        if len(cells) > MOST_NAMES:
            continue
        for cell, count in cells.items():
            for name in names_in(cell) if multi_label and column == "label" else [str(cell)]:
                counts[name] = counts.get(name, 0) + int(count)
        groups: dict[str, list[str]] = {}
        for name in sorted(counts):
            groups.setdefault(_skeleton(name), []).append(name)
        alike = [names for names in groups.values() if len(names) > 1]
        messages += [
            f"{column}: {' and '.join(f'{name!a} ({counts[name]})' for name in names)} differ by case, spaces, "
            "Unicode's form or the way a number is written alone: are they one name? Then write it in one way"
            for names in alike[:_SHOWN]
        ]
        if len(alike) > _SHOWN:
            messages.append(f"{column}: and {len(alike) - _SHOWN} more such groups of names")
    return messages


def _skeleton(name: str) -> str:
    """Return the name composed (NFC), case-folded, and without spaces and invisible characters; `1.0` equals `01`."""
    if _NUMBER.fullmatch(name.strip()):
        return str(float(name))
    plain = unicodedata.normalize("NFC", name).casefold()
    return "".join(
        character for character in plain if not character.isspace() and unicodedata.category(character) != "Cf"
    )


def _other_form(name: str, root: Path) -> str | None:
    if os.path.lexists(root / name):
        return None
    forms = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    return next((form for form in forms if form != name and os.path.lexists(root / form)), None)


def _duplicate_ids(table: pd.DataFrame) -> Iterator[Found]:
    known = _repeated(table[table["id"].notna()], "id")
    first = known.groupby("id")["row"].transform("first")
    again = known.duplicated("id").to_numpy(dtype=bool)
    for row, name, earlier in zip(known["row"][again], known["id"][again], first[again], strict=True):
        yield int(row), "id", f"{name!r} was already used in row {earlier}; an id names one image"


def _contradicting_labels(table: pd.DataFrame, *, multi_label: bool) -> Iterator[Found]:
    """Find rows whose label differs from the label in the first row of the same file.

    A file may have several rows, such as one for each person's map.
    """
    known = table[(table["path"].notna() & table["label"].notna()).to_numpy(dtype=bool)]
    files = known["path"].copy()
    longer = files.str.contains(_AROUND).to_numpy(dtype=bool)
    files[longer] = [posixpath.normpath(path) for path in files[longer]]
    known = _repeated(known.assign(file=files), "file")
    known = known.assign(same=sort_names(known["label"]) if multi_label else known["label"])
    first = known.groupby("file")[["row", "label", "same"]].transform("first")
    other = (known["same"] != first["same"]).to_numpy(dtype=bool)
    cells = (known["row"], known["path"], known["label"], first["label"], first["row"])
    for row, path, label, earlier, where in zip(*(column[other] for column in cells), strict=True):
        yield int(row), "label", f"{path!r} is {label!r} here and {earlier!r} in row {where}"


def _repeated(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows whose cell in this column occurs more than once."""
    return table[table.duplicated(column, keep=False).to_numpy(dtype=bool)]


def _path_fault(name: str, root: Path, folders: dict[str, str | None]) -> str | None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or PureWindowsPath(name).drive:
        return f"{name!r} is absolute; paths are relative to {root}"
    if "\0" in name:
        return f"{name!r} holds a NUL character"
    if is_remote(root):
        return (
            f"{name!r} leaves the root {url_text(root)}"
            if ".." in pure.parts
            else f"{NO_FILE}: {url_text(root / name)}"
        )
    folder = str(pure.parent)
    if folder not in folders:
        folders[folder] = _inside(root / folder, root)
    resolved = folders[folder]
    if resolved is None or pure.name == "..":
        return f"{name!r} leaves the root {root}"
    file = os.path.join(resolved, pure.name)  # noqa: PTH118 - a hundred thousand of them: plain strings are faster
    try:
        mode = os.lstat(file).st_mode
        if stat.S_ISLNK(mode):
            if _inside(Path(file), root) is None:
                return f"{name!r} is a link that leaves the root {root}"
            mode = os.stat(file).st_mode  # noqa: PTH116
    except OSError as error:
        hint = "; use / between folders" if "\\" in name else _near(Path(resolved), pure.name)
        return f"{NO_FILE}: {root / name} ({error.strerror}){hint}"
    return None if stat.S_ISREG(mode) else f"{root / name} is not a file"


def _near(folder: Path, name: str) -> str:
    """Return a hint at the file that was meant, if the names differ only by case or by spaces around them."""
    key = name.strip().casefold()
    try:
        alike = next((entry.name for entry in os.scandir(folder) if entry.name.strip().casefold() == key), None)
    except OSError:
        return ""
    return f"; {alike!r} is there" if alike is not None else ""


def _inside(path: Path, root: Path) -> str | None:
    """Return `path` with its links resolved, or None if it then lies outside of `root`."""
    real = path.resolve()
    return str(real) if real.is_relative_to(root) else None
