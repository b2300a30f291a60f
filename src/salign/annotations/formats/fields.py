"""Checked access to the values in annotation files: a value is checked when it is read, and errors name its place."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from salign import readers
from salign.annotations.rle import checked_size
from salign.errors import SalignError

MAX_BYTES = 500_000_000
"""Larger annotation files are refused before they are read."""
MAX_TEXT = 4096
"""Most characters of the name of an image, a label or an annotator."""
MAX_FILES = 1_000_000
"""Most annotation files in one folder."""

Read = TypeVar("Read")


class Field:
    """A value in a parsed file, with the path of keys that leads to it."""

    __slots__ = ("above", "key", "value")

    def __init__(self, value: Any, key: str | int, above: Field | None = None) -> None:
        """Take `value`, which was found under `key` in `above`; the `key` of the outermost field is the file's name."""
        self.value, self.key, self.above = value, key, above

    @property
    def where(self) -> str:
        """The place of the value for error messages, e.g. `a.json: shapes[3].points`."""
        if self.above is None:
            return str(self.key)
        own = f"[{self.key}]" if isinstance(self.key, int) else str(self.key)[:60]
        joint = ": " if self.above.above is None else "" if isinstance(self.key, int) else "."
        return f"{self.above.where}{joint}{own}"

    def fail(self, expected: str) -> NoReturn:
        """Raise a SalignError that says what was expected at this place and which value is there."""
        raise SalignError(f"{self.where}: expected {expected}, got {quote(self.value)}")

    def __getitem__(self, key: str) -> Field:
        field = self.get(key)
        if field is None:
            keys = ", ".join(map(quote, list(self.value)[:8])) or "nothing"
            raise SalignError(f"{self.where}: the key {key!r} is missing; there is {keys}")
        return field

    def get(self, key: str) -> Field | None:
        """Return the value under a key; None if the key is missing or its value is null."""
        if not isinstance(self.value, dict):
            self.fail("an object with keys")
        inner = self.value.get(key)
        return None if inner is None else Field(inner, key, self)

    def items(self) -> Iterator[tuple[str, Field]]:
        """Return the keys and values of an object."""
        if not isinstance(self.value, dict):
            self.fail("an object with keys")
        return ((key, Field(inner, key, self)) for key, inner in self.value.items())

    def values(self) -> Sequence[Field]:
        """Return the values of an object, or the items of a list."""
        return [inner for _, inner in self.items()] if isinstance(self.value, dict) else self.each()

    def each(self) -> Sequence[Field]:
        """Return the items of a list."""
        if not isinstance(self.value, list):
            self.fail("a list")
        return [Field(inner, k, self) for k, inner in enumerate(self.value)]

    def text(self) -> str:
        """Return a name, which must be `printable`."""
        if not isinstance(self.value, str) or not printable(self.value):
            self.fail("a name (printable text)")
        return self.value

    def name(self) -> str:
        """Return a name or a whole number as text, since some tools number people and images."""
        if isinstance(self.value, int) and not isinstance(self.value, bool) and abs(self.value) < 10**18:
            return str(self.value)
        return self.text()

    def number(self, low: float = -1e9, high: float = 1e9) -> float:
        """Return a number from `low` to `high`; a number in quotes counts, because some tools write numbers as text."""
        value = self.value
        if isinstance(value, str):
            value = number_of(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fail(f"a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, low: float = -1e9, high: float = 1e9) -> int:
        """Return a whole number from `low` to `high`; 3.0 counts as one."""
        value = self.number(low, high)
        if value != int(value):
            self.fail(f"a whole number from {low:g} to {high:g}")
        return int(value)

    def pairs(self) -> list[tuple[float, float]]:
        """Return points (x, y) that are written as `[[x, y], ...]`."""
        points = [point.each() for point in self.each()]
        for k, point in enumerate(points):
            if len(point) != 2:
                raise SalignError(f"{self.where}[{k}]: expected [x, y], got {len(point)} values")
        return [(x.number(), y.number()) for x, y in points]

    def numbers(self) -> list[float]:
        """Return a list of numbers; each is checked as by `number`."""
        return [inner.number() for inner in self.each()]

    def make(self, maker: Callable[..., Read], *arguments: Any, **options: Any) -> Read:
        """Call `maker(*arguments, **options)` and put this place before the message of its SalignError."""
        try:
            return maker(*arguments, **options)
        except SalignError as error:
            raise SalignError(f"{self.where}: {error}") from error


def size_of(height: Field, width: Field) -> tuple[int, int]:
    """Return (H, W) from two fields after checking that an image can be that large (`checked_size`)."""
    return height.make(checked_size, height.whole(0), width.whole(0))


def read_size(height: Field | None, width: Field | None) -> tuple[int, int] | None:
    """Return (H, W) as `size_of` does; None if the size is not given.

    Tools write a size that is not known by leaving it out, as an empty text or as 0.
    """
    sides = [side for side in (height, width) if side is not None and side.value != "" and side.number(0) != 0]
    if not sides:
        return None
    if height is None or width is None or len(sides) == 1:
        sides[0].fail("height and width, or neither of them")
    return size_of(height, width)


def quote(value: object) -> str:
    """Return a short description of any value, for error messages."""
    if isinstance(value, str):
        return repr(value[:40]) + ("..." if len(value) > 40 else "")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return f"{value:g}" if -1e18 < value < 1e18 else "a number out of range"
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else type(value).__name__


def printable(text: str) -> bool:
    """Return whether text can be a name.

    A name has 1 to `MAX_TEXT` printable characters or tabs and is not blank. Other control characters and halves of
    surrogate pairs are not printable.
    """
    return 0 < len(text) <= MAX_TEXT and text.replace("\t", " ").isprintable() and not text.isspace()


def number_of(text: str) -> float:
    """Return the number that a text says; NaN if it says none."""
    try:
        return float(text) if len(text) <= 64 and "_" not in text else math.nan
    except ValueError:
        return math.nan


def read_bytes(path: Path) -> bytes:
    """Read a whole file of at most `MAX_BYTES` bytes.

    Raises:
        SalignError: the file is missing, is not a regular file, is too large, or is a zip or gzip archive.
    """
    content = readers.read_bytes(path, limit=MAX_BYTES)
    if content.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise SalignError(f"{path} is an archive; unpack it and give the file or folder inside")
    return content


def read_text(path: Path) -> str:
    """Read a text file (UTF-8, with or without a byte order mark); limits and errors as for `read_bytes`."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SalignError(f"{path} is not text in UTF-8: {error}") from error


def read_json(path: Path) -> Field:
    """Read a JSON file.

    Raises:
        SalignError: as for `read_text` and `salign.readers.parse_json`.
    """
    return Field(readers.parse_json(read_text(path), str(path)), path.name)


def check_separator(path: Path, header: Sequence[str]) -> None:
    """Raise a SalignError if the header of a table shows that its cells are not separated by commas."""
    separator = next((name for mark, name in _OTHERS.items() if len(header) == 1 and mark in header[0]), None)
    if separator is not None:
        raise SalignError(
            f"{path}: its cells are separated by {separator}; save it with commas, and numbers with points"
        )


_OTHERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Read the rows of a CSV file, the header included, each with the number of the line in which it ends.

    Blank lines and rows whose cells are all empty are left out.
    """
    try:
        reader = csv.reader(StringIO(read_text(path), newline=""), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except csv.Error as error:
        raise SalignError(f"{path} cannot be read as CSV: {error}") from error
    check_separator(path, rows[0][1] if rows else [])
    return rows
