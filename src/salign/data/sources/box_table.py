"""Boxes in a CSV file, a row per box: NIH's BBox_List_2017.csv, RSNA's stage_2_train_labels.csv, and their like.

Found by the header: an image column, `x, y, width, height` or two corners `xmin, ymin, xmax, ymax` (then `width` and
`height` are the image's), and, where there are, a label and an annotator. A row whose four numbers are empty says that
nothing was marked: so RSNA writes images with Target 0. Boxes are in pixels of the original image. NIH's header is
`Image Index,Finding Label,Bbox [x,y,w,h],,,`, whose brackets are cut by its commas.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from salign.data.annotations import Annotated
from salign.data.sources.fields import Field, read_rows, shown, size_of
from salign.maps.shapes import Box
from salign.types import SalignError

IMAGE = ("image", "imageindex", "imageid", "imagename", "imagepath", "filename", "file", "path", "patientid")
LABEL = ("label", "findinglabel", "class", "classname", "category", "name", "target")
ANNOTATOR = ("annotator", "radid", "reader", "subject", "user")
CORNER = (("x", "bboxx"), ("y",), ("w", "width"), ("h", "height"))
CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x0", "y0", "x1", "y1"), ("x1", "y1", "x2", "y2"))
"""Names of columns, in small letters and without anything but letters and digits; the first that occurs counts."""


def read_box_table(path: Path) -> list[Annotated]:
    """Read a table.

    Raises:
        SalignError: columns are missing, or a row is damaged.
    """
    rows = read_rows(path)
    if not rows:
        raise SalignError(f"{path} is empty; expected a header and a row per box")
    header = ["".join(c for c in cell.lower() if c.isalnum()) for cell in rows[0][1]]
    image, label, annotator = (_column(header, names) for names in (IMAGE, LABEL, ANNOTATOR))
    ends = next(([header.index(name) for name in names] for names in CORNERS if set(names) <= set(header)), None)
    places: Sequence[int | None] = ends or [_column(header, names) for names in CORNER]
    if image is None or None in places:
        listed = ", ".join(map(shown, rows[0][1][:12]))
        raise SalignError(
            f"{path}: expected a column for the image ({', '.join(IMAGE)}) and x, y, width, height or "
            f"xmin, ymin, xmax, ymax; the header has {listed}"
        )
    sides = (_column(header, ("height",)), _column(header, ("width",))) if ends else (None, None)
    found = []
    for number, cells in rows[1:]:
        where = f"{path.name} row {number}"
        row = [Field(cell, where) for cell in cells]
        if len(row) <= max(column for column in (image, label, annotator, *places) if column is not None):
            raise SalignError(f"{where}: {len(row)} cells, and the header has {len(header)}")
        height, width = (row[side] if side is not None and side < len(row) else None for side in sides)
        found.append(
            Annotated(
                row[image].text(),
                size_of(height, width) if height and width else None,
                row[label].text() if label is not None and row[label].value else None,
                _box([row[place] for place in places if place is not None], ends=ends is not None),
                annotator=row[annotator].text() if annotator is not None and row[annotator].value else None,
            )
        )
    return found


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _box(cells: Sequence[Field], *, ends: bool) -> tuple[Box, ...]:
    if not any(cell.value for cell in cells):
        return ()
    x0, y0, across, down = (cell.number() for cell in cells)
    x1, y1 = (across, down) if ends else (x0 + across, y0 + down)
    return (cells[0].make(Box, x0, y0, x1, y1),)
