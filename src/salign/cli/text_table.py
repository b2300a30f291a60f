"""A table for the terminal, whose cells are shown as they are."""

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
    """A table of texts, in which square brackets are square brackets and no markup: names are what people gave.

    Args:
        title: stands above it.
        headings: one for each column.
        rows: as many cells each.
        left: the columns of these headings begin at the left; all others end at the right.
        options: what else `rich.table.Table` takes.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), **options)
    for heading in headings:
        table.add_column(escape(heading), justify="left" if heading in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table
