"""Boxes in a CSV file with one row per box, such as NIH's BBox_List_2017.csv and RSNA's stage_2_train_labels.csv.

Columns are found by the names in the header: the image; the box as `x, y, width, height` or as two corners
`xmin, ymin, xmax, ymax` (`width` and `height` are then those of the image); and, if they exist, a label and an
annotator. A row whose four numbers are empty says that nothing was marked, as RSNA writes images with Target 0. Boxes
are in pixels of the original image, or in shares of its width and height if all boxes lie within 0 and 1 (Open Images).
NIH's header is `Image Index,Finding Label,Bbox [x,y,w,h],,,`; the commas split the brackets into several cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from salign.annotations.annotated import Annotated
from salign.annotations.formats.fields import Field, quote, read_rows, read_size
from salign.annotations.formats.notes import Notes, Reader
from salign.errors import SalignError
from salign.maps.shapes import Box, bounds

IMAGE = ("image", "imageindex", "imageid", "imagename", "imagepath", "filename", "file", "path", "patientid")
LABEL = ("label", "findinglabel", "class", "classname", "labelname", "category", "categoryname", "name", "target")
ANNOTATOR = ("annotator", "radid", "reader", "subject", "user")
CORNER = (("x", "bboxx"), ("y",), ("w", "width"), ("h", "height"))
CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x0", "y0", "x1", "y1"), ("x1", "y1", "x2", "y2"))
"""Names of columns, in lower case and reduced to letters and digits. The first name that the header has counts."""


def is_box_table(header: Sequence[str]) -> bool:
    """Return whether a header names an image and the four numbers of a box."""
    try:
        _Columns.of(header, Path())
    except SalignError:
        return False
    return True


class _Columns(NamedTuple):
    """The positions of the columns in a row."""

    image: int
    label: int | None
    annotator: int | None
    corners: Sequence[int]
    """The columns of the four numbers of a box."""
    ends: bool
    """Whether the four numbers are two corners; otherwise they are a corner, width and height."""
    sides: tuple[int | None, int | None]
    """The columns of the height and the width of the image."""

    @classmethod
    def of(cls, header: Sequence[str], path: Path) -> _Columns:
        plain = ["".join(c for c in cell.lower() if c.isalnum()) for cell in header]
        image, label, annotator = (_column(plain, names) for names in (IMAGE, LABEL, ANNOTATOR))
        ends = next(([plain.index(name) for name in names] for names in CORNERS if set(names) <= set(plain)), None)
        corners = ends or [column for names in CORNER if (column := _column(plain, names)) is not None]
        if image is None or len(corners) < 4:
            raise SalignError(
                f"{path}: expected a column for the image ({', '.join(IMAGE)}) and x, y, width, height or "
                f"xmin, ymin, xmax, ymax; the header has {', '.join(map(quote, header[:12]))}"
            )
        sides = (_column(plain, ("height",)), _column(plain, ("width",))) if ends else (None, None)
        return cls(image, label, annotator, corners, ends is not None, sides)


@Reader
def read_box_table(path: Path, notes: Notes) -> list[Annotated]:
    """Read a table of boxes.

    Args:
        path: the CSV file.
        notes: collects the faults of rows.

    Raises:
        SalignError: the file is empty or is not CSV, or a column is missing.
    """
    rows = read_rows(path)
    if not rows:
        raise SalignError(f"{path} is empty; expected a header and a row per box")
    columns = _Columns.of(rows[0][1], path)
    numbered = [(f"row {number}", cells) for number, cells in rows[1:]]
    read, _ = notes.each(path.name, numbered, lambda row: [_row(*row, columns)])
    shares = [entry for entry in read if entry.shapes and all(0 <= number <= 1 for number in bounds(entry.shapes[0]))]
    if not shares:
        return read
    if len(shares) == sum(1 for entry in read if entry.shapes):
        notes.remarks.append(f"{path.name}: all numbers are from 0 to 1, and are taken as shares of width and height")
        return [replace(entry, size=None, relative=True) for entry in read]
    return read  # if only some boxes lie within 0 and 1, `resolve.settle` makes faults of these


def _row(where: str, cells: Sequence[str], columns: _Columns) -> Annotated:
    row = [Field(cell, where) for cell in cells]
    needed = max(column for column in (columns.image, columns.label, columns.annotator, *columns.corners) if column)
    if len(row) <= needed:
        raise SalignError(f"{where}: {len(row)} cells, and the header needs {needed + 1}")
    height, width = (row[side] if side is not None and side < len(row) else None for side in columns.sides)
    label, who = (
        row[column].text() if column is not None and row[column].value else None
        for column in (columns.label, columns.annotator)
    )
    shapes = _box([row[column] for column in columns.corners], ends=columns.ends)
    return Annotated(row[columns.image].text(), read_size(height, width), label, shapes, annotator=who)


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _box(cells: Sequence[Field], *, ends: bool) -> tuple[Box, ...]:
    if not any(cell.value for cell in cells):
        return ()
    x0, y0, across, down = (cell.number() for cell in cells)
    x1, y1 = (across, down) if ends else (x0 + across, y0 + down)
    return (cells[0].make(Box, x0, y0, x1, y1),)
