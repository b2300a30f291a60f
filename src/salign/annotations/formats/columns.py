"""Tables whose columns may have other names than salign's; all faults in them are collected with their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from salign.annotations.formats.fields import check_separator, printable, quote
from salign.annotations.formats.notes import Notes
from salign.data.manifest import Fault, ManifestError
from salign.data.manifest.text_table import read_table
from salign.errors import SalignError, nearest
from salign.readers import MAX_TABLE, open_file

MAX_BYTES = 50_000_000
"""Larger tables are refused before they are read."""
MAX_ROWS = 1_000_000
"""Tables with more rows are refused, too, so that half a gigabyte of memory is enough for a table and the objects that
are made of its rows."""
FAR = 1e9
"""Largest magnitude of a number in a table."""

_FAULTS = 1000
_AT_ONCE = 1 << 16


class Columns:
    """A table that is read column by column; faults are collected until `sound` or `check` is called.

    Columns are called by salign's names, which may be in capitals in the table; `names` in `read` maps them to other
    names in the table.
    """

    def __init__(self, table: pd.DataFrame, theirs: dict[str, str], faults: list[Fault], path: Path) -> None:
        self.table, self.theirs, self.faults, self.path = table, theirs, faults, path
        self.rows = table["row"].to_numpy()
        self.wrong = np.zeros(len(table), dtype=bool)

    @classmethod
    def read(
        cls, path: Path, needed: Sequence[str], optional: Sequence[str] = (), names: Mapping[str, str] | None = None
    ) -> Columns:
        """Read a CSV file.

        Args:
            path: the table, of at most `MAX_BYTES` bytes.
            needed: salign's names of the columns that the table must have.
            optional: salign's names of the columns that the table may have.
            names: the names in the table by salign's names, for columns whose names differ.

        Raises:
            SalignError: there is no such CSV file, it has no rows, it is too large, a column is missing, or `names` has
                a key that is in neither `needed` nor `optional`.
        """
        if not path.is_file() or path.suffix.lower() != ".csv":
            raise SalignError(
                f"{path}: expected a table .csv, {'got another file' if path.exists() else 'there is none'}"
            )
        if (size := path.stat().st_size) > MAX_BYTES:
            raise SalignError(
                f"{path}: {size / 1e6:,.0f} MB; tables up to {MAX_BYTES / 1e6:,.0f} MB are read. Split it"
            )
        if _lines(path) > MAX_ROWS + 1:
            raise SalignError(f"{path}: more than {MAX_ROWS:,} rows; split it")
        table, faults = read_table(path)
        there = [str(name) for name in table.columns if name != "row"]
        check_separator(path, there)
        ours, names = dict.fromkeys([*needed, *optional]), names or {}
        if unknown := [name for name in names if name not in ours]:
            hint = nearest(unknown[0], ours) or f"; there are {', '.join(ours)}"
            raise SalignError(f"{path}: no column of ours is called {unknown[0]!r}{hint}")
        spellings = {name.lower(): name for name in there} | {name: name for name in there}
        theirs = {name: spellings[name] for name in ours if name in spellings} | dict(names)
        for name in dict.fromkeys([*needed, *theirs]):
            if theirs.get(name) not in there:
                name_there, known_there = theirs.get(name, name), ", ".join(there)[:500]
                raise SalignError(f"{path}: no column {name_there!r} for {name}; there are {known_there}")
        if not len(table) and not faults:
            raise SalignError(f"{path}: there is no row below the header")
        return cls(table, theirs, [Fault(*fault) for fault in faults], path)

    def has(self, *ours: str) -> bool:
        """Return whether the table has all these columns, by salign's names."""
        return all(name in self.theirs for name in ours)

    def numbers(self, ours: str, least: float = -FAR) -> np.ndarray:
        """Return the numbers of a column as `(rows,)` float64, from `least` to `FAR`.

        Any other cell is noted as a fault, and its number becomes 1.
        """
        cells = self.table[self.theirs[ours]]
        values = np.empty(len(cells))
        for start in range(0, len(cells), _AT_ONCE):
            chunk = cells.iloc[start : start + _AT_ONCE].astype(object)
            numbers = pd.to_numeric(chunk, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            values[start : start + _AT_ONCE] = numbers
        wrong = ~((least <= values) & (values <= FAR))
        self.refuse(wrong, ours, f"expected a number from {least:g} to {FAR:g}")
        return np.where(wrong, 1, values)

    def names(self, ours: str, default: str | None) -> list[str] | list[str | None]:
        """Return the names in a column, or `default` for each row if there is no such column.

        A cell that is not `printable` is noted as a fault.
        """
        if not self.has(ours):
            return [default] * len(self.table)
        codes, values = pd.factorize(self.table[self.theirs[ours]].fillna(""))
        different = [str(name) for name in values]
        bad = np.array([not printable(name) for name in different], dtype=bool)
        self.refuse(bad[codes], ours, "expected a name")
        return [different[code] for code in codes]

    def corners(self, of: str, least: float) -> np.ndarray | None:
        """Return the rectangles x0, y0, x1, y1 of the columns `<of>_x0` and so on as `(rows, 4)`.

        Args:
            of: what the rectangle is a part of: `image` or `screen`.
            least: the smallest width and height; smaller rectangles are noted as faults.

        Returns:
            `(rows, 4)`, or None if the table has none of the four columns.

        Raises:
            SalignError: the table has only some of the four columns.
        """
        keys = [f"{of}_{corner}" for corner in ("x0", "y0", "x1", "y1")]
        if not any(self.has(key) for key in keys):
            return None
        if not self.has(*keys):
            raise SalignError(f"{self.path}: expected all of {', '.join(keys)}, or none of them")
        x0, y0, x1, y1 = (self.numbers(key) for key in keys)
        wrong = ~((x0 + least <= x1) & (y0 + least <= y1))
        self.refuse(wrong, keys[0], f"expected x0 < x1 and y0 < y1, at least {least:g} apart")
        return np.column_stack([x0, y0, np.where(wrong, x0 + 1, x1), np.where(wrong, y0 + 1, y1)])

    def refuse(self, wrong: np.ndarray, ours: str, message: str) -> None:
        """Note a fault for each row that is wrong.

        Args:
            wrong: `(rows,)` bool.
            ours: salign's name of the column.
            message: what was expected.
        """
        theirs = self.theirs[ours]
        self.wrong |= wrong
        for i in np.flatnonzero(wrong)[:_FAULTS]:
            self.faults.append(Fault(int(self.rows[i]), theirs, f"{message}, got {quote(self.table[theirs].iloc[i])}"))
        if (more := int(wrong.sum()) - _FAULTS) > 0:
            self.faults.append(Fault(None, theirs, f"{message}, in {more:,} more rows"))

    def sound(self, notes: Notes) -> np.ndarray:
        """Move all faults to `notes` and return the positions `(n,)` of the rows without a fault."""
        notes.add(*self.faults)
        self.faults = []
        return np.flatnonzero(~self.wrong)

    def check(self) -> None:
        """Raise all collected faults together.

        Raises:
            ManifestError: there is at least one fault.
        """
        if self.faults:
            raise ManifestError.of(self.faults, str(self.path))


def _lines(path: Path) -> int:
    with open_file(path, limit=MAX_TABLE) as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))
