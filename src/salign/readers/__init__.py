"""Guarded readers: whatever a file holds, it is read within the limits, or a `SalignError` names it."""

from salign.readers.file import MAX_BYTES, file_digest, open_file, read_bytes, read_text
from salign.readers.json import parse_json, read_json
from salign.readers.table import MAX_TABLE, check_columns, read_csv, read_parquet
from salign.readers.yaml import parse_yaml, read_yaml

__all__ = [
    "MAX_BYTES",
    "MAX_TABLE",
    "check_columns",
    "file_digest",
    "open_file",
    "parse_json",
    "parse_yaml",
    "read_bytes",
    "read_csv",
    "read_json",
    "read_parquet",
    "read_text",
    "read_yaml",
]
