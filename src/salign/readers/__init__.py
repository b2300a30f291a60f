"""Guarded readers for untrusted files: a file is either read within fixed limits, or a `SalignError` names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.readers.file import (
        MAX_BYTES as MAX_BYTES,
        file_digest as file_digest,
        file_state as file_state,
        known_digest as known_digest,
        open_file as open_file,
        read_bytes as read_bytes,
        read_text as read_text,
    )
    from salign.readers.json import parse_json as parse_json, read_json as read_json
    from salign.readers.table import (
        MAX_TABLE as MAX_TABLE,
        check_columns as check_columns,
        read_csv as read_csv,
        read_parquet as read_parquet,
        read_row_groups as read_row_groups,
    )
    from salign.readers.yaml import parse_yaml as parse_yaml, read_yaml as read_yaml

lazy_index(__name__)
