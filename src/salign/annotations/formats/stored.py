"""Keeping maps in little memory until they are drawn, and patterns that say what the parts of a file's path mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from salign.annotations.annotated import Annotated, Stored
from salign.annotations.formats.fields import printable, quote
from salign.annotations.formats.notes import Notes, once_each
from salign.annotations.rle import Runs
from salign.errors import SalignError

MOST_PIXELS = 25_000_000
"""Most pixels of a map, so that it can be read and converted within a few hundred megabytes of memory."""

_FEW = 10_000


class Names:
    """A pattern that says what the path of a file, relative to a folder and without suffix, means.

    The pattern must have the part `{image}` and may have `{annotator}`, `{label}` and `*` (anything). For example,
    `{annotator}/{image}` is for one folder per annotator, `{image}_mask` for masks with a suffix, and
    `{image}_{annotator}` for one suffix per annotator. `{image}` matches as much as possible and may contain `/`; the
    other parts match no `/`.

    Raises:
        SalignError: the pattern has no `{image}`, has a part in braces twice, has an unknown part, or is too long.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        pieces = re.split(r"(\{[^{}]*\}|\*)", pattern)
        parts = [piece for piece in pieces if piece.startswith("{")]
        unknown = [part for part in parts if part not in _PARTS]
        if unknown or "{image}" not in parts or len(set(parts)) < len(parts) or len(pieces) > 20:
            raise SalignError(
                f"expected a pattern with {{image}} and, if needed, {{annotator}}, {{label}} and *, e.g. "
                f"{{annotator}}/{{image}}; got {quote(pattern)}"
            )
        self._regex = re.compile("".join(_PARTS.get(piece, re.escape(piece)) for piece in pieces))

    def annotated(self, path: str, size: tuple[int, int], mask: Runs | Stored | None) -> Annotated:
        """Return the annotation for a file.

        Args:
            path: the path of the file, relative to the folder and without suffix.
            size: (H, W) of the map.
            mask: the map; None for a blank one.

        Raises:
            SalignError: the path does not match the pattern, or a name in it is not printable.
        """
        match = self._regex.fullmatch(path)
        if match is None:
            raise SalignError(f"expected a name like {self.pattern}")
        names = match.groupdict()
        for text in names.values():
            if not printable(text):
                raise SalignError(f"expected printable names, got {quote(text)}")
        return Annotated(
            names["image"],
            size,
            names.get("label"),
            mask=mask,
            annotator=names.get("annotator"),
        )

    def once_each(self, entries: Iterable[tuple[str, list[Annotated]]], what: str, notes: Notes) -> list[Annotated]:
        """Return the annotations of all entries; two with the same image, annotator and label are faults.

        If the pattern has a `*`, several such entries are allowed, since `*` tells them apart.

        Args:
            entries: for each entry its place, for faults, and its annotations.
            what: a word for an entry, for faults.
            notes: collects the faults.
        """
        if "*" in self.pattern:
            return [annotation for _, marks in entries for annotation in marks]
        return once_each(
            entries, what, notes, key=lambda annotation: (annotation.image, annotation.annotator, annotation.label)
        )


_PARTS = {
    "{image}": "(?P<image>.+)",
    "{annotator}": "(?P<annotator>[^/]+?)",
    "{label}": "(?P<label>[^/]+?)",
    "*": "[^/]*",
}


class StoredMap(NamedTuple):
    """What is kept of a map that was read."""

    size: tuple[int, int]
    """(H, W) of the map."""
    mask: Runs | Stored | None
    """The map; None if it is blank."""


def keep(values: np.ndarray, load: Callable[[], np.ndarray]) -> StoredMap:
    """Return what is kept of a map: run lengths, a way to read it again, or nothing.

    A blank map is kept as None. A binary map is kept as run lengths if these are few. Any other map is kept as a
    `Stored` that reads it again.

    Args:
        values: `(H, W)` float32 in [0, 1], as `load` returns them.
        load: a function that reads the values again.
    """
    size = (values.shape[0], values.shape[1])
    marked = values > 0
    if not marked.any():
        return StoredMap(size, None)
    runs = int((marked[:, 1:] != marked[:, :-1]).sum()) + size[0]
    small = runs <= max(_FEW, marked.size // 32)
    return StoredMap(size, Runs.of(marked) if small and (values == marked).all() else Stored(load))
