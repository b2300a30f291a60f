"""Pascal VOC: one XML file per image, boxes in `<object><bndbox>`.

By the rules of the VOC development kit the first pixel is 1 and the last one belongs to the box: `xmin=1, xmax=10`
covers the first ten columns. Tools that count otherwise are off by at most one pixel. A file without objects says that
nothing was marked.
"""

from __future__ import annotations

from pathlib import Path

from salign.data.annotations import Annotated, by_label
from salign.data.runs import Runs
from salign.data.sources.fields import read_each, size_of
from salign.data.sources.xml import root_of, text_of
from salign.maps.shapes import Box, Shape
from salign.types import SalignError


def read_voc(path: Path) -> list[Annotated]:
    """Read one file, or every `.xml` of a folder and the folders below.

    Raises:
        SalignError: the file is damaged or says something else than this format; of a folder, all faults at once.
    """
    return read_each(path, ".xml", _read)


def _read(path: Path) -> list[Annotated]:
    root = root_of(path)
    if root.tag != "annotation":
        raise SalignError(f"{path}: the outermost element is <annotation>, got <{root.tag[:40]}>")
    sizes = root.find("size")
    size = None
    if sizes is not None:
        size = size_of(text_of(sizes, "height", path.name), text_of(sizes, "width", path.name))
    marks: list[tuple[str | None, Shape | Runs]] = []
    for number, thing in enumerate(root.findall("object")):
        where = f"{path.name}: object {number + 1}"
        box = thing.find("bndbox")
        if box is None:
            raise SalignError(f"{where} has no <bndbox>; other shapes are not part of Pascal VOC")
        x0, y0, x1, y1 = (text_of(box, name, where).number() for name in ("xmin", "ymin", "xmax", "ymax"))
        label = text_of(thing, "name", where)
        marks.append((label.text(), label.make(Box, x0 - 1, y0 - 1, x1, y1)))
    return by_label(marks, text_of(root, "filename", path.name).text(), size)
