"""A sheet of pictures and tables as one HTML file that opens offline: no script, no link, no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from numbers import Real
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from PIL import Image

from salign.files import replacing
from salign.maps.render import png_data_uri, thumbnail

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
    path = Path(path)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["uri"] = lambda picture: png_data_uri(thumbnail(picture, SIDE))
    environment.tests["numeric"] = lambda cell: isinstance(cell, Real) and not isinstance(cell, bool)
    template = environment.from_string(files("salign.maps").joinpath("sheet.html").read_text("utf-8"))
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as stream:
        stream.writelines(template.generate(title=title, sections=sections, intro=intro))
    return path
