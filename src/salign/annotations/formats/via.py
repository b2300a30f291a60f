"""VGG Image Annotator (VIA) 2: a project, exported annotations as JSON, or exported annotations as CSV.

The shapes are rect, polygon, ellipse (`theta` in radians) and circle, and polyline and point, which need a thickness.
VIA lets people define any number of attributes, one of which is the label. `size` in VIA is the size of the file in
bytes, so the sizes of images cannot be checked. A file without regions says that nothing was marked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from salign.annotations.annotated import Annotated, by_label
from salign.annotations.formats.fields import Field, quote, read_json, read_rows
from salign.annotations.formats.notes import Notes, Reader, once_each
from salign.annotations.formats.outlines import ellipse, line
from salign.annotations.rle import Runs
from salign.errors import SalignError
from salign.maps.shapes import Box, Polygon, Shape, Stroke
from salign.readers import parse_json

_COLUMNS = ("filename", "file_attributes", "region_count", "region_shape_attributes", "region_attributes")


class _File(NamedTuple):
    name: str
    attributes: Field | None
    regions: list[tuple[Field, Field]]
    """The shape and the attributes of each region."""
    whole: bool = True
    """Whether no region was left out as faulty."""


@Reader
def read_via(path: Path, notes: Notes, *, attribute: str | None = None, width: float | None = None) -> list[Annotated]:
    """Read a `.json` or `.csv` file.

    Args:
        path: the file.
        notes: collects the faults.
        attribute: the attribute of the regions (or of the files) that is the label. None takes the only attribute that
            regions have or, if they have none, the only one that files have.
        width: thickness of lines and diameter of points, in pixels. If None, lines and points are faults.

    Raises:
        SalignError: the file is damaged, or it is not clear which attribute is the label.
    """
    files = _from_csv(path, notes) if path.suffix.lower() == ".csv" else _from_json(path, notes)
    key = attribute or _only_attribute(files, path, notes)

    def marked(region: tuple[Field, Field]) -> list[tuple[str | None, Shape | Runs]]:
        shape, attributes = region
        mark = _shape(shape, width)
        labels: list[str | None] = [*_labels(attributes, key)]
        return [(label, mark) for label in labels or [None]]

    entries: list[tuple[str, list[Annotated]]] = []
    for number, file in enumerate(files, 1):
        with notes.noting(path.name):
            labels = tuple(_labels(file.attributes, key)) if file.attributes else ()
            marks, whole = notes.each(path.name, file.regions, marked)
            annotations = by_label(marks, file.name, image_labels=labels, whole=whole and file.whole)
            entries.append((f"file {number}", annotations))
    return once_each(entries, "entry", notes, file=path.name)


def _from_json(path: Path, notes: Notes) -> list[_File]:
    def read(file: Field) -> list[_File]:
        name = file["filename"].text()
        regions, whole = notes.each(path.name, file["regions"].values(), _region)
        return [_File(name, file.get("file_attributes"), regions, whole)]

    content = read_json(path)
    files = content.get("_via_img_metadata") or content
    return notes.each(path.name, files.values(), read)[0]


def _region(region: Field) -> list[tuple[Field, Field]]:
    return [(region["shape_attributes"], _object(region["region_attributes"]))]


def _object(field: Field) -> Field:
    field.items()
    return field


def _from_csv(path: Path, notes: Notes) -> list[_File]:
    rows = read_rows(path)
    header = [cell.lstrip("#").strip() for cell in rows[0][1]] if rows else []
    if missing := [name for name in _COLUMNS if name not in header]:
        raise SalignError(f"{path}: the column {missing[0]!r} is missing; is it a CSV of VIA?")
    files: dict[tuple[str, str], _File] = {}  # by name and size in bytes, as in VIA
    torn: set[tuple[str, str]] = set()
    spoilt: set[str] = set()
    for number, cells in rows[1:]:
        where = f"row {number}"
        sound = False
        with notes.noting(path.name):
            if len(cells) != len(header):
                raise SalignError(f"{where}: expected {len(header)} cells, got {len(cells)}")
            row = {key: Field(cells[k], f"{where}, {key}") for k, key in enumerate(header)}
            whole, shape, attributes = (
                Field(parse_json(row[key].value or "{}", str(row[key].key)), row[key].key)
                for key in ("file_attributes", "region_shape_attributes", "region_attributes")
            )
            name = row["filename"].text()
            key = (name, row["file_size"].value if "file_size" in row else "")
            file = files.setdefault(key, _File(name, whole, []))
            if file.attributes is None or whole.value != file.attributes.value:
                torn.add(key)
                raise SalignError(f"{where}: has other file_attributes of {name} than a row above")
            if row["region_count"].whole(0) > 0:
                file.regions.append((shape, _object(attributes)))
            sound = True
        if not sound:
            spoilt.update(cells)  # one of the cells is the file's name, in whichever column of the faulty row
    return [file._replace(whole=file.name not in spoilt) for key, file in files.items() if key not in torn]


def _only_attribute(files: list[_File], path: Path, notes: Notes) -> str | None:
    names = {name for file in files for _, attributes in file.regions for name, _ in attributes.items()}
    if len(names) > 1:
        raise SalignError(f"{path}: the regions have the attributes {_listed(names)}")
    if names:
        return names.pop()
    of_files = [file.attributes for file in files if file.attributes and isinstance(file.attributes.value, dict)]
    names = {name for attributes in of_files for name, _ in attributes.items()}
    if len(names) > 1:
        notes.remarks.append(f"{path.name}: no label is read; the files have the attributes {_listed(names)}")
    return names.pop() if len(names) == 1 else None


def _listed(names: set[str]) -> str:
    return f"{', '.join(sorted(map(quote, names))[:10])}; say with --attribute which is the label"


def _labels(attributes: Field, name: str | None) -> list[str]:
    """Return the value of an attribute, or its ticked values; an empty list if it was left empty."""
    value = attributes.get(name) if name else None
    if value is None or value.value == "":
        return []
    if isinstance(value.value, dict):
        return [key for key, ticked in value.items() if ticked.value is True]
    return [value.name()]


def _shape(shape: Field, width: float | None) -> Shape:
    kind = shape["name"].text()
    if kind not in _SHAPES:
        shape["name"].fail(", ".join(_SHAPES))
    return shape.make(_SHAPES[kind], shape, width)


def _rect(shape: Field, width: float | None) -> Shape:
    x, y = shape["x"].number(), shape["y"].number()
    return Box(x, y, x + shape["width"].number(), y + shape["height"].number())


def _corners(shape: Field) -> tuple[tuple[float, float], ...]:
    across, down = shape["all_points_x"].numbers(), shape["all_points_y"].numbers()
    if len(across) != len(down):
        raise SalignError(f"{len(across)} x and {len(down)} y; expected as many of both")
    return tuple(zip(across, down, strict=True))


def _ellipse(shape: Field, width: float | None) -> Shape:
    theta = shape.get("theta")
    centre = shape["cx"].number(), shape["cy"].number()
    return ellipse(*centre, shape["rx"].number(0), shape["ry"].number(0), theta.number() if theta else 0.0)


def _circle(shape: Field, width: float | None) -> Shape:
    return Stroke(((shape["cx"].number(), shape["cy"].number()),), (shape["r"].number(0),))


def _point(shape: Field, width: float | None) -> Shape:
    return line([(shape["cx"].number(), shape["cy"].number())], width)


def _polyline(shape: Field, width: float | None) -> Shape:
    return line(_corners(shape), width)


_SHAPES: dict[str, Callable[[Field, float | None], Shape]] = {
    "rect": _rect,
    "polygon": lambda shape, width: Polygon(_corners(shape)),
    "ellipse": _ellipse,
    "circle": _circle,
    "polyline": _polyline,
    "point": _point,
}
