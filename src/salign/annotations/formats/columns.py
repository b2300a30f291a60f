"""Tables whose columns have names of their own, with the rows of all that is wrong in them."""

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
"""Longer tables, too; so that, with what is made of each row, half a gigabyte of memory is enough."""
FAR = 1e9
"""Largest magnitude of a number."""

_FAULTS = 1000
_AT_ONCE = 1 << 16


class Columns:
    """A table, taken column by column; what is wrong in it is gathered until `sound` is asked for."""

    def __init__(self, table: pd.DataFrame, theirs: dict[str, str], faults: list[Fault], path: Path) -> None:
        self.table, self.theirs, self.faults, self.path = table, theirs, faults, path
        self.rows = table["row"].to_numpy()
        self.wrong = np.zeros(len(table), dtype=bool)

    @classmethod
    def read(
        cls, path: Path, needed: Sequence[str], optional: Sequence[str] = (), names: Mapping[str, str] | None = None
    ) -> Columns:
        """Read a CSV.

        Args:
            path: the table, up to `MAX_BYTES`.
            needed: columns it must have.
            optional: columns it may have.
            names: ours to theirs, where these differ.

        Raises:
            SalignError: no table, no row, too large, or a column that is missing or not known.
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
        theirs = {name: names.get(name, name) for name in ours if name in names or name in there}
        for name in dict.fromkeys([*needed, *theirs]):
            if theirs.get(name) not in there:
                name_there, known_there = theirs.get(name, name), ", ".join(there)[:500]
                raise SalignError(f"{path}: no column {name_there!r} for {name}; there are {known_there}")
        if not len(table) and not faults:
            raise SalignError(f"{path}: there is no row below the header")
        return cls(table, theirs, [Fault(*fault) for fault in faults], path)

    def has(self, *ours: str) -> bool:
        """Whether the table says these."""
        return all(name in self.theirs for name in ours)

    def numbers(self, ours: str, least: float = -FAR) -> np.ndarray:
        """`(rows,)` finite numbers of a column."""
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
        """A column of names; `default` for each row where there is no such column."""
        if not self.has(ours):
            return [default] * len(self.table)
        codes, values = pd.factorize(self.table[self.theirs[ours]].fillna(""))
        different = [str(name) for name in values]
        bad = np.array([not printable(name) for name in different], dtype=bool)
        self.refuse(bad[codes], ours, "expected a name")
        return [different[code] for code in codes]

    def corners(self, of: str, least: float) -> np.ndarray | None:
        """`(rows, 4)` x0, y0, x1, y1 of a part of the image or screen, at least so wide and high; None if not told."""
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
        """Note a fault in each row that is wrong."""
        theirs = self.theirs[ours]
        self.wrong |= wrong
        for i in np.flatnonzero(wrong)[:_FAULTS]:
            self.faults.append(Fault(int(self.rows[i]), theirs, f"{message}, got {quote(self.table[theirs].iloc[i])}"))
        if (more := int(wrong.sum()) - _FAULTS) > 0:
            self.faults.append(Fault(None, theirs, f"{message}, in {more:,} more rows"))

    def sound(self, notes: Notes) -> np.ndarray:
        """Note all that was wrong; `(n,)` the positions of the rows in which nothing was."""
        notes.add(*self.faults)
        self.faults = []
        return np.flatnonzero(~self.wrong)

    def check(self) -> None:
        """Raise all that was noted."""
        if self.faults:
            raise ManifestError.of(self.faults, str(self.path))


def _lines(path: Path) -> int:
    with open_file(path, limit=MAX_TABLE) as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))
