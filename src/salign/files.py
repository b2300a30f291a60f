"""Writing files so that what was there before is never lost: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFTOVERS = ".*.partial"
"""Pattern of what a killed process may leave behind."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to: moved into place when the block ends, removed when it raises.

    Raises:
        OSError: it cannot be written; `filename` is `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.filename in (None, partial, str(partial)):  # a full disk names no file
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
