"""Read and write tables of text (CSV and Parquet) as Arrow strings, with the row that each record came from."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from salign.errors import SalignError
from salign.files import replacing, write_csv
from salign.location import exists, quote, url_text
from salign.readers import MAX_TABLE, check_columns, open_file, read_parquet

TEXT = pd.StringDtype("pyarrow")
_ROW = "row"

_FORMULA = re.compile(r"(^|[;\t\r\n])(?='*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n])")
"""Matches where a spreadsheet may start to read a formula: at the start of a cell, and after a `;`, a tab or a line
break, which some programs take for the end of a cell."""
_GUARDED = re.compile(_FORMULA.pattern.replace("(?=", "'(?="))
"""Matches the same places when `for_spreadsheets` has put an apostrophe there."""


def check_manifest_file(path: Path) -> None:
    """Raise SalignError if a manifest does not exist, is a folder, or ends in neither `.csv` nor `.parquet`."""
    if not exists(path):
        raise SalignError(f"no manifest at {url_text(path)}; expected a .csv or .parquet file")
    if path.is_dir():
        inside = path / "manifest.csv"
        hint = f"its manifest is {inside}" if inside.is_file() else f"salign init {quote(path)} writes its manifest"
        raise SalignError(f"{path} is a folder; expected a manifest, .csv or .parquet: {hint}")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise SalignError(f"{path}: a manifest is .csv or .parquet, not {path.suffix or 'a file without suffix'}")


def read_table(path: Path, *, sound: bool = False) -> tuple[pd.DataFrame, list[tuple[int | None, str, str]]]:
    """Read a `.csv` or `.parquet` file as a table of text.

    Every cell becomes text, and an empty cell becomes NA. Blank lines of a CSV file are left out. The column `row`
    (int64) is added: the line of the CSV file on which the record starts (the header is line 1), or the number of the
    record + 1 in a Parquet file.

    Args:
        path: the file.
        sound: the file was read before and has not changed, so that it is known to keep the limits of `read_parquet`.

    Returns:
        The table, and the faults found while reading, each as (row, column, message). A fault is a record with the
        wrong number of cells; the table does not contain it.

    Raises:
        SalignError: the file is missing, is neither CSV nor Parquet, or cannot be read; or a column name occurs twice
            or is `row`.
    """
    check_manifest_file(path)
    try:
        if path.suffix.lower() == ".csv":
            names, (table, rows, faults) = header_of(path), _read_csv(path)
        else:
            table = read_parquet(path, sound=sound)
            names, rows, faults = table.column_names, np.arange(len(table)) + 2, []
    except (OSError, ValueError, pa.ArrowException, csv.Error) as error:
        raise SalignError(f"{path} cannot be read as {path.suffix[1:].upper()}: {error}") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or _ROW in names:
        wrong = f"names {', '.join(map(repr, twice))} occur twice" if twice else "'row' is reserved for row numbers"
        raise SalignError(f"{path}, header: {wrong}; rename the column")
    columns = {name: _as_text(table[name], name, path) for name in names}
    frame = pa.table(columns).to_pandas(types_mapper={pa.string(): TEXT}.get)
    return frame.assign(row=rows.astype(np.int64)), faults


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write `.csv` or `.parquet` under a temporary name in the same folder, then move it into place."""
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise SalignError(f"{path}: a manifest is .csv or .parquet, not {path.suffix or 'a file without suffix'}")
    try:
        with replacing(path) as partial:
            if suffix == ".csv":
                write_csv(table, partial)
            else:
                table.to_parquet(partial, index=False)
    except OSError as error:
        raise SalignError(f"cannot write {path}: {error.strerror or error}; nothing was changed") from error
    return path


def for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for people to open, with an apostrophe before whatever a spreadsheet would take for a formula.

    An apostrophe is put before a `=`, `+`, `-`, `@` (also full-width), tab or line break that stands at the start of a
    text or after a `;`, a tab or a line break. Numbers stay numbers. A manifest, and any other table that a program
    reads back, is written without these apostrophes.
    """

    def harmless(cell: object) -> object:
        return _FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell

    return table.map(harmless).rename(columns=harmless)


def from_spreadsheet(cell: str) -> str:
    """Undo `for_spreadsheets` for one cell."""
    return _GUARDED.sub(r"\1", cell)


def header_of(path: Path) -> list[str]:
    """Return the names of the columns of a CSV file.

    Raises:
        SalignError: the file is missing or empty, is not CSV in UTF-8, or has too many columns.
    """
    with open_file(path, limit=MAX_TABLE) as file:
        try:
            names = next(csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline="")), [])
        except UnicodeDecodeError as error:
            raise SalignError(f"{path} cannot be read as CSV: {error}; save it as UTF-8") from error
        except csv.Error as error:
            raise SalignError(f"{path} cannot be read as CSV: {error}; the first line names the columns") from error
    if not names:
        raise SalignError(f"{path} is empty; expected a header line")
    check_columns(path, len(names))
    return names


def _read_csv(path: Path) -> tuple[pa.Table, np.ndarray, list[tuple[int | None, str, str]]]:
    """Return the records, the line each one starts on, and faults for records of wrong length (which are left out)."""
    wrong: dict[int, tuple[str, str]] = {}

    def skip(record: pa_csv.InvalidRow) -> str:
        wrong[record.number] = (
            record.text,
            f"the line has {record.actual_columns} cells, the header {record.expected_columns}; "
            "quote a cell that holds a comma",
        )
        return "skip"

    names = header_of(path)
    with open_file(path, limit=MAX_TABLE) as file:
        table = pa_csv.read_csv(
            file,
            read_options=pa_csv.ReadOptions(use_threads=False),
            parse_options=pa_csv.ParseOptions(
                newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    records = np.arange(2, 2 + len(table) + len(wrong))
    good = ~np.isin(records, list(wrong))
    extra = np.zeros(len(records), dtype=np.int64)  # line breaks inside of quoted cells
    for column in table.columns:
        breaks = pc.count_substring(column, "\n").fill_null(0)
        extra[good] += breaks.to_numpy()
    for number, (text, _) in wrong.items():
        extra[number - 2] += text.count("\n")
    lines = records + np.concatenate([[0], np.cumsum(extra)[:-1]]) if len(records) else records
    faults: list[tuple[int | None, str, str]] = [
        (int(lines[number - 2]), "line", message) for number, (_, message) in wrong.items()
    ]
    blank = np.ones(len(table), dtype=bool)
    for column in table.columns:
        blank &= column.is_null().to_numpy()
    return table.filter(pa.array(~blank)), lines[good][~blank], faults


def _as_text(column: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
    try:
        text = column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise SalignError(f"{path}, column {name!r}: {column.type} cannot be read as text ({error})") from error
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
