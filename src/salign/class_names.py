"""The class names of an image that may have several labels, as they stand in one cell of a table."""

from __future__ import annotations

SEPARATOR = ";"
"""Between the class names of an image that may have several labels, in tables."""


def names_in(cell: object) -> list[str]:
    """The class names in the cell of an image that may have several labels; none in an empty or a missing one."""
    return cell.split(SEPARATOR) if isinstance(cell, str) and cell else []
