"""Reading untrusted tables within limits: CSV with pandas, Parquet with Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pa_parquet

from salign.errors import SalignError
from salign.readers.file import open_file

MAX_TABLE = 4 * 10**9
"""Most bytes that the file of a table may have."""
MAX_COLUMNS = 10_000
MAX_ROWS = 20_000_000
"""Most rows of a Parquet file. The rows of a CSV file are limited by its size in bytes alone."""
MAX_UNPACKED = 2 * 10**9
"""Most bytes that a Parquet file's values may take when every cell is written out."""


_TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def read_csv(path: Path | str, **options: Any) -> pd.DataFrame:
    """Read a CSV file of at most `MAX_TABLE` bytes with `pandas.read_csv(file, **options)`.

    Raises:
        SalignError: the file is not a regular file or is too large, it is not a table, it has more than `MAX_COLUMNS`
            columns, or it lacks a column or holds a value in a way that `options` do not allow.
    """
    try:
        with open_file(path, limit=MAX_TABLE) as file:
            check_columns(path, file.readline().count(b",") + 1)
            file.seek(0)
            return pd.read_csv(file, **options)
    except (OSError, ValueError, OverflowError, MemoryError) as error:  # pandas' own errors are ValueErrors
        raise SalignError(f"{path}: cannot be read as a table: {str(error)[:300]}") from error


def read_parquet(path: Path | str, *, sound: bool = False) -> pa.Table:
    """Read a Parquet file of at most `MAX_TABLE` bytes.

    A file of two megabytes may hold a table of twenty gigabytes, if it repeats one text a thousand times. Texts are
    therefore read dictionary-encoded, so that each distinct text is held once, until the size of the table is checked.

    Args:
        path: the file.
        sound: whether the file was read before and has not changed. The limits on the table are then not checked, and
            reading is ten times as fast.

    Raises:
        SalignError: the file is not a regular file or is too large, it is not Parquet, or its table is larger than
            `MAX_COLUMNS`, `MAX_ROWS` or `MAX_UNPACKED` allow.
    """
    with _opened(path) as file:
        if sound:
            return pa_parquet.read_table(file, use_threads=False).replace_schema_metadata(None)
        return _unpacked(file, path)


def read_row_groups(path: Path | str) -> Iterator[pa.Table]:
    """Read a Parquet file of any size, one row group at a time; each may be as large as `read_parquet` allows.

    Raises:
        SalignError: as for `read_parquet`.
    """
    with _opened(path, limit=None) as file:
        for group in range(pa_parquet.read_metadata(file).num_row_groups):
            yield _unpacked(file, path, [group])


@contextmanager
def _opened(path: Path | str, limit: int | None = MAX_TABLE) -> Iterator[Any]:
    try:
        with open_file(path, limit=limit) as file:
            yield file
    except (OSError, ValueError, pa.ArrowException, MemoryError, OverflowError) as error:
        raise SalignError(f"{path} cannot be read as PARQUET: {str(error)[:300]}") from error


def check_columns(path: Path | str, columns: int) -> None:
    """Refuse a table with more than `MAX_COLUMNS` columns."""
    if columns > MAX_COLUMNS:
        raise SalignError(f"{path}: {columns:,} columns; a table has at most {MAX_COLUMNS:,}")


def _unpacked(file: Any, path: Path | str, groups: Sequence[int] | None = None) -> pa.Table:
    """Read some row groups, or all of them for None, checking their size before and after they are decoded."""
    about = pa_parquet.read_metadata(file)
    check_columns(path, about.num_columns)
    groups = range(about.num_row_groups) if groups is None else groups
    rows = sum(about.row_group(group).num_rows for group in groups)
    if rows > MAX_ROWS:
        raise SalignError(f"{path}: {rows:,} rows; a table has at most {MAX_ROWS:,}")
    stored = sum(about.row_group(group).total_byte_size for group in groups)
    _check_unpacked(path, max(stored, rows * about.num_columns))
    schema = about.schema.to_arrow_schema()
    if nested := [field.name for field in schema if pa.types.is_nested(field.type)]:
        raise SalignError(
            f"{path}: expected plain values in each cell; column {nested[0]!r} holds {schema.field(nested[0]).type}"
        )
    texts = [field.name for field in schema if field.type in _TEXTS]
    # The pandas metadata is dropped because it is JSON that pandas would parse without any limits.
    schema = schema.remove_metadata()
    table = pa_parquet.ParquetFile(file, read_dictionary=texts).read_row_groups(list(groups), use_threads=False)
    _check_unpacked(path, sum(_size(table[number]) for number in range(table.num_columns)))
    return table.replace_schema_metadata(None).cast(schema)


def _size(column: pa.ChunkedArray) -> int:
    """Return the bytes of a column when every cell is written out, plus eight bytes per cell for its offset."""
    size = 8 * len(column)
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
            size += pc.sum(lengths.take(chunk.indices)).as_py() or 0
        else:
            size += chunk.nbytes
    return size


def _check_unpacked(path: Path | str, size: int) -> None:
    if size > MAX_UNPACKED:
        raise SalignError(f"{path}: {size / 1e9:,.1f} GB when unpacked; a table has at most {MAX_UNPACKED / 1e9:g} GB")
