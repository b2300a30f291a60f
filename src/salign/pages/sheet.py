"""A page of texts, tables, plots and pictures as one HTML file that opens offline.

Only a page with a gallery contains a script and needs further files, the gallery's pictures beside it.
"""

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
"""Pixels on the longer side of a picture in `Tiles`; larger pictures are shrunk, so that the file stays small."""


@dataclass
class Text:
    """Paragraphs, with a heading above them if there is a title."""

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]
    title: str = ""
    badge: str = ""
    """One or two words in a frame beside the title."""
    lead: bool = False
    """Show the paragraphs in large letters, because they are the main result of the page."""
    links: Sequence[tuple[str, str]] = ()
    """Links below the paragraphs: the text of each, and its target, relative to this page."""


@dataclass
class Table:
    """A table with a caption above it."""

    kind: ClassVar[str] = "table"
    caption: str
    frame: pd.DataFrame
    folded: str = ""
    """If given, the table is folded below these words, and opens when they are clicked."""
    shaded: bool = False
    """Shade each number by its share of the largest, as in a confusion matrix."""
    names: int | None = None
    """The number of columns, from the left, that hold names and are aligned left; None = the columns that hold no
    numbers."""


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
    """For each picture, what it shows, and the picture."""
    note: str = ""
    """A second line in a less prominent style."""
    flagged: bool = False
    """Frame the tile and mark it as a fault."""


@dataclass
class Tiles:
    """Rows of pictures."""

    kind: ClassVar[str] = "tiles"
    caption: str
    tiles: Sequence[Tile]
    cells: bool = False
    """Whether the pictures are maps of a few cells, which the page enlarges."""
    row: bool = False
    """Whether the tiles share the width of the page."""


@dataclass
class Folded:
    """Lines that are hidden until the reader opens them."""

    kind: ClassVar[str] = "folded"
    title: str
    text: str


@dataclass
class Columns:
    """Blocks side by side if there is room."""

    kind: ClassVar[str] = "columns"
    blocks: Sequence[Block]


Block = Text | Table | Plots | Tiles | Folded | Gallery | Columns


@dataclass
class Section:
    """A heading and the blocks below it."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False
    """Hide the blocks until the heading is clicked; a printed page shows them."""
    flagged: bool = False
    """Whether the section reports a fault, which is marked in its heading and in the list at the top of the page."""


def write_sheet(
    path: Path | str,
    title: str,
    sections: Sequence[Section],
    *,
    intro: str = "",
    links: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write the page; all content is escaped except the SVG, which `salign.pages.plots` has escaped.

    Args:
        path: The HTML file; its folder is created, and an older file is replaced in one step.
        title: Heading of the page.
        sections: In the order shown; sections without blocks are left out.
        intro: A sentence below the heading.
        links: Text and target of each link; the targets are relative to this page.

    Returns:
        The path written.
    """
    filled = [section for section in sections if section.blocks]
    content = {"title": title, "sections": filled, "intro": intro, "links": links, "side": SIDE}
    return write_html(Path(path), "salign.pages", "sheet.html", **content)
