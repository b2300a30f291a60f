"""Which maps stay in their files until they are drawn, and patterns that say what the parts of a file's path mean."""

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
"""A map has at most so many pixels: what can be read and converted within a few hundred megabytes."""

_FEW = 10_000


class Names:
    """What a path below a folder, without suffix, says: a pattern with `{image}`, and `{annotator}`, `{label}`, `*`.

    `{annotator}/{image}` is a folder for each annotator, `{image}_mask` a suffix of the masks, `{image}_{annotator}` a
    suffix for each annotator. `{image}` takes as much as it can and may hold `/`; the others and `*` do not.

    Raises:
        SalignError: no `{image}`, a part named twice, or another part.
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
        """The annotation that a file at `path` (without suffix) is.

        Raises:
            SalignError: the path is not of the pattern.
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
        """The annotations of all entries; two of one image, annotator and label are faults unless `*` tells them apart.

        Args:
            entries: the place of each, and its annotations.
            what: an entry in a word.
            notes: takes the faults.
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
    """What is kept of a map that was read: its size, and the map where it is not blank."""

    size: tuple[int, int]
    mask: Runs | Stored | None


def keep(values: np.ndarray, load: Callable[[], np.ndarray]) -> StoredMap:
    """Keep a yes-or-no map as run lengths, if these are few; any other as what reads it again; a blank one as nothing.

    Args:
        values: `(H, W)` float32 in [0, 1], as `load` gives them.
        load: how to read them again.
    """
    size = (values.shape[0], values.shape[1])
    marked = values > 0
    if not marked.any():
        return StoredMap(size, None)
    runs = int((marked[:, 1:] != marked[:, :-1]).sum()) + size[0]
    small = runs <= max(_FEW, marked.size // 32)
    return StoredMap(size, Runs.of(marked) if small and (values == marked).all() else Stored(load))
