"""A sheet of pictures and tables as one HTML file that opens offline: no script, no link, no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from salign.pages.page import write_html

SIDE = 240
"""Pixels of a picture's longer side on the sheet; larger ones are shrunk, so that the file stays small."""


@dataclass
class Tile:
    """Pictures that belong together (an image and its overlay, two duplicates), with a caption below."""

    pictures: list[Image.Image]
    caption: str
    note: str = ""
    """A second, quieter line."""
    flagged: bool = False
    """Framed and marked as a fault."""


@dataclass
class Section:
    """A heading with a text, a table and tiles, each of which may be left out."""

    title: str
    text: str = ""
    tiles: Sequence[Tile] = ()
    table: Sequence[Mapping[str, Any]] | None = None
    """One mapping per row; the columns are the keys of the first. Numbers are set flush right."""
    large: bool = field(default=False, kw_only=True)
    """The pictures are shown at their own size, as charts are."""
    flagged: bool = field(default=False, kw_only=True)
    """Reports a fault: marked in the list at the top and in its heading."""


def write_sheet(path: Path | str, title: str, sections: Sequence[Section], *, intro: str = "") -> Path:
    """Write the sheet; everything given is escaped, so file names and labels may hold anything.

    Args:
        path: The HTML file; its folder is made, an older file is replaced in one step.
        title: Heading of the page.
        sections: In the order shown; put faults first.
        intro: A sentence below the heading.

    Returns:
        The path written.
    """
    return write_html(Path(path), "salign.pages", "sheet.html", title=title, sections=sections, intro=intro, side=SIDE)
