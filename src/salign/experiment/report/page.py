"""A page of text, tables, plots and pictures as one HTML file that opens offline: no script, no link, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
from PIL import Image

from salign.pages.page import write_html


@dataclass
class Text:
    """Paragraphs, with a heading of their own if they have a title."""

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]
    title: str = ""
    badge: str = ""
    """A word or two in a frame beside the title."""


@dataclass
class Table:
    """A table of text; the first columns of names are set flush left, the others flush right."""

    kind: ClassVar[str] = "table"
    caption: str
    frame: pd.DataFrame
    names: int = 1
    """How many columns from the left hold names."""


@dataclass
class Plots:
    """SVG texts of `plots`, side by side where there is room."""

    kind: ClassVar[str] = "plots"
    caption: str
    svgs: Sequence[str]


@dataclass
class Tile:
    """Pictures in a row, what each shows, and a caption."""

    caption: str
    pictures: Sequence[tuple[str, Image.Image]]


@dataclass
class Tiles:
    """Rows of pictures."""

    kind: ClassVar[str] = "tiles"
    caption: str
    tiles: Sequence[Tile]
    small: bool = False
    """Maps of a few cells, which the page enlarges."""


@dataclass
class Folded:
    """Lines that are shown when asked for."""

    kind: ClassVar[str] = "folded"
    title: str
    text: str


Block = Text | Table | Plots | Tiles | Folded


@dataclass
class Section:
    """A heading and what is below it."""

    title: str
    blocks: Sequence[Block]


def write_page(path: Path, title: str, intro: str, sections: Sequence[Section]) -> Path:
    """Write the page; everything given is escaped but the SVG, which `plots` escapes.

    Args:
        path: the HTML file; replaced in one step.
        title: heading of the page.
        intro: a sentence below it.
        sections: in the order shown; those without blocks are left out.

    Returns:
        The path written.
    """
    filled = [section for section in sections if section.blocks]
    return write_html(path, "salign.experiment.report", "report.html", title=title, intro=intro, sections=filled)
