"""A page of texts, tables, plots and pictures: one HTML file that opens offline, without script, link or other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
from PIL import Image

from salign.pages.gallery import Gallery
from salign.pages.page import write_html

SIDE = 240
"""Pixels of the longer side of a picture in `Tiles`; larger ones are shrunk, so that the file stays small."""


@dataclass
class Text:
    """Paragraphs, with a heading of their own if they have a title."""

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]
    title: str = ""
    badge: str = ""
    """A word or two in a frame beside the title."""
    lead: bool = False
    """The paragraphs are the answer that a reader came for, in large letters."""
    links: Sequence[tuple[str, str]] = ()
    """Words, and the page that they lead to, relative to this one; below the paragraphs."""


@dataclass
class Table:
    """A table; a text above it says what it holds."""

    kind: ClassVar[str] = "table"
    caption: str
    frame: pd.DataFrame
    folded: str = ""
    """If given, the table is shown when these words are chosen."""
    shaded: bool = False
    """Numbers have a background by their share of the largest, as in a confusion matrix."""
    names: int | None = None
    """How many columns from the left hold names, which are set flush left; None = those that hold no numbers."""


@dataclass
class Plots:
    """SVG texts of `salign.pages.plots`, side by side if there is room."""

    kind: ClassVar[str] = "plots"
    caption: str
    svgs: Sequence[str]


@dataclass
class Tile:
    """Pictures that belong together (an image and its overlay, two duplicates), with a caption."""

    caption: str
    pictures: Sequence[tuple[str, Image.Image]]
    """What each shows, and the picture."""
    note: str = ""
    """A second, quieter line."""
    flagged: bool = False
    """The tile is framed and marked as a fault."""


@dataclass
class Tiles:
    """Rows of pictures."""

    kind: ClassVar[str] = "tiles"
    caption: str
    tiles: Sequence[Tile]
    cells: bool = False
    """The pictures are maps of a few cells, which the page enlarges."""
    row: bool = False
    """The tiles share the width of the page."""


@dataclass
class Folded:
    """Lines that are shown when asked for."""

    kind: ClassVar[str] = "folded"
    title: str
    text: str


@dataclass
class Columns:
    """Blocks beside each other if there is room."""

    kind: ClassVar[str] = "columns"
    blocks: Sequence[Block]


Block = Text | Table | Plots | Tiles | Folded | Gallery | Columns


@dataclass
class Section:
    """A heading and what is below it."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False
    """What is below the heading is shown when it is chosen, and on paper."""
    flagged: bool = False
    """The section reports a fault: it is marked in the list at the top and in its heading."""


def write_sheet(
    path: Path | str,
    title: str,
    sections: Sequence[Section],
    *,
    intro: str = "",
    links: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write the page; everything given is escaped but the SVG, which `salign.pages.plots` escapes.

    Args:
        path: The HTML file; its folder is made, an older file is replaced in one step.
        title: Heading of the page.
        sections: In the order shown; those without blocks are left out.
        intro: A sentence below the heading.
        links: Words, and the page that they lead to, relative to this one.

    Returns:
        The path written.
    """
    filled = [section for section in sections if section.blocks]
    content = {"title": title, "sections": filled, "intro": intro, "links": links, "side": SIDE}
    return write_html(Path(path), "salign.pages", "sheet.html", **content)
