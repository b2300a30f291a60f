"""Pascal VOC: one XML file per image with boxes in `<object><bndbox>`.

By the rules of the VOC development kit, pixels are counted from 1 and the last pixel belongs to the box, so
`xmin=1, xmax=10` covers the first ten columns. The boxes of tools that count otherwise are off by at most one pixel. A
file without objects says that nothing was marked. A size of 0 x 0 says that the tool did not know the size.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from salign.annotations.annotated import Annotated, by_label
from salign.annotations.formats.fields import read_size
from salign.annotations.formats.notes import Notes, Reader, beside, read_each
from salign.annotations.formats.xml import root_of, text_of
from salign.annotations.rle import Runs
from salign.errors import SalignError
from salign.maps.shapes import Box, Shape

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@Reader
def read_voc(path: Path, notes: Notes) -> list[Annotated]:
    """Read one file, or every `.xml` of a folder and the folders below.

    Args:
        path: the file or folder.
        notes: collects the faults.

    Raises:
        SalignError: the file is damaged, or the folder has no `.xml` file.
    """
    return read_each(path, ".xml", notes, lambda file, where: _read(file, where, notes))


def _read(path: Path, where: str, notes: Notes) -> list[Annotated]:
    root = root_of(path)
    if root.tag != "annotation":
        raise SalignError(f"{path}: the outermost element is <annotation>, got <{root.tag[:40]}>")
    sides = root.find("size")
    size = None
    if sides is not None:
        size = read_size(*(text_of(sides, side, path.name) for side in ("height", "width")))
    name = text_of(root, "filename", path.name).text()
    objects = enumerate(root.findall("object"), 1)
    marks, whole = notes.each(where, objects, lambda pair: [_mark(pair[1], f"object {pair[0]}")])
    return by_label(marks, beside(where, name), size, whole=whole)


def _mark(element: Element, where: str) -> tuple[str | None, Shape | Runs]:
    box = element.find("bndbox")
    if box is None:
        raise SalignError(f"{where} has no <bndbox>; other shapes are not part of Pascal VOC")
    x0, y0, x1, y1 = corners = [text_of(box, name, where).number() for name in ("xmin", "ymin", "xmax", "ymax")]
    if 0 <= min(corners) < max(corners) <= 1:
        raise SalignError(f"{where}: its box is within 0 and 1, as shares of width and height are; expected pixels")
    label = text_of(element, "name", where)
    return label.text(), label.make(Box, x0 - 1, y0 - 1, x1, y1)
