"""Reading untrusted JSON within limits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from salign.errors import SalignError
from salign.readers.file import MAX_BYTES, read_text

MAX_DEPTH = 64
"""Deepest nesting of lists and objects, in JSON and YAML, so that recursive code on the values cannot overflow the
stack."""


def parse_json(text: str, where: str, *, nan: bool = False) -> Any:
    """Parse JSON text into plain values.

    Args:
        text: the text.
        where: the name of the file, for error messages.
        nan: whether to accept `NaN` and `Infinity`, which Python writes and the JSON standard does not allow.

    Raises:
        SalignError: the text is not JSON, it is nested deeper than `MAX_DEPTH`, an object has the same key twice, or a
            string holds half of a surrogate pair.
    """
    try:
        value = json.loads(
            text, parse_constant=float if nan else _no_constant, object_pairs_hook=lambda pairs: _once(pairs, where)
        )
        if "\\u" in text:  # half of a surrogate pair can be neither printed nor written
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise SalignError(f"{where}: nested too deeply; expected at most {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise SalignError(f"{where} is not JSON: {str(error)[:200]}") from error
    _check_depth(value, where)
    return value


def read_json(path: Path | str, *, limit: int = MAX_BYTES, nan: bool = False) -> Any:
    """Read a JSON file (UTF-8) of at most `limit` bytes; see `parse_json` and `salign.readers.open_file`."""
    return parse_json(read_text(path, limit=limit), str(path), nan=nan)


def _once(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise SalignError(f"{where}: the key {twice[:60]!a} occurs twice in one object; keep one of the two")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _check_depth(value: Any, where: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise SalignError(f"{where}: nested too deeply; expected at most {MAX_DEPTH} levels")
