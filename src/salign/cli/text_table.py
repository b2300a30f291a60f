"""A table for the terminal that shows the text of its cells unchanged."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def text_table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: Container[str] = ("",),
    **options: Any,
) -> Table:
    """Return a table of texts.

    Square brackets are shown as they are and are not read as rich's markup, because cells may hold names that users
    chose.

    Args:
        title: text above the table.
        headings: one for each column.
        rows: each with as many cells as there are columns.
        left: headings of the columns that are aligned left; all others are aligned right.
        options: further options of `rich.table.Table`.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), **options)
    for heading in headings:
        table.add_column(escape(heading), justify="left" if heading in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table
