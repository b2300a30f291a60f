"""VGG Image Annotator (VIA) 2: a project, exported annotations as JSON, or exported annotations as CSV.

Shapes: rect, polygon, ellipse (`theta` in radians), circle; polyline and point need a thickness. VIA lets people name
any number of attributes: one of them is the label. Its `size` is the file's in bytes, so sizes cannot be checked. A
file without regions says that nothing was marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from salign.data.annotations import Annotated, by_label
from salign.data.runs import Runs
from salign.data.sources.fields import Field, read_json, read_rows, shown
from salign.data.sources.outlines import ellipse, line
from salign.maps.shapes import Box, Polygon, Shape, Stroke
from salign.readers import parse_json
from salign.types import SalignError

_COLUMNS = ("filename", "file_attributes", "region_count", "region_shape_attributes", "region_attributes")


class _File(NamedTuple):
    name: str
    attributes: Field | None
    regions: list[tuple[Field, Field]]
    """Shape and attributes of each region."""


def read_via(path: Path, *, attribute: str | None = None, width: float | None = None) -> list[Annotated]:
    """Read a `.json` or `.csv` file.

    Args:
        path: the file.
        attribute: which attribute of the regions (or of the files) is the label; not needed where there is only one.
        width: thickness of lines and diameter of points, in pixels; without it they are refused.

    Raises:
        SalignError: the file is damaged, or it is not clear which attribute is the label.
    """
    files = list(_from_csv(path) if path.suffix.lower() == ".csv" else _from_json(path))
    named = attribute or _only_attribute(files, path)
    found: list[Annotated] = []
    for file in files:
        marks: list[tuple[str | None, Shape | Runs]] = []
        for shape, attributes in file.regions:
            drawn = _shape(shape, width)
            labels: list[str | None] = [*_labels(attributes, named)]
            marks += [(label, drawn) for label in labels or [None]]
        whole = _labels(file.attributes, named) if file.attributes else []
        found += by_label(marks, file.name, image_label=whole[0] if len(whole) == 1 else None)
    return found


def _from_json(path: Path) -> Iterator[_File]:
    content = read_json(path)
    files = content.get("_via_img_metadata") or content
    for file in files.values():
        marks = [(region["shape_attributes"], region["region_attributes"]) for region in file["regions"].values()]
        yield _File(file["filename"].text(), file.get("file_attributes"), marks)


def _from_csv(path: Path) -> Iterator[_File]:
    rows = read_rows(path)
    header = [cell.lstrip("#").strip() for cell in rows[0][1]] if rows else []
    if missing := [name for name in _COLUMNS if name not in header]:
        raise SalignError(f"{path}: the column {missing[0]!r} is missing; is it a CSV of VIA?")
    files: dict[str, _File] = {}
    for number, cells in rows[1:]:
        where = f"{path.name} row {number}"
        if len(cells) != len(header):
            raise SalignError(f"{where}: expected {len(header)} cells, got {len(cells)}")
        row = {name: Field(cells[k], f"{where}, {name}") for k, name in enumerate(header)}
        name = row["filename"].text()
        whole, shape, attributes = (
            Field(parse_json(row[key].value or "{}", str(row[key].key)), row[key].key)
            for key in ("file_attributes", "region_shape_attributes", "region_attributes")
        )
        file = files.setdefault(name, _File(name, whole, []))
        if row["region_count"].whole(0) > 0:
            file.regions.append((shape, attributes))
    yield from files.values()


def _only_attribute(files: list[_File], path: Path) -> str | None:
    names = {name for file in files for _, attributes in file.regions for name, _ in attributes.items()}
    if len(names) > 1:
        listed = ", ".join(sorted(map(shown, names))[:10])
        raise SalignError(f"{path}: the regions have the attributes {listed}; say with --attribute which is the label")
    return next(iter(names), None)


def _labels(attributes: Field, name: str | None) -> list[str]:
    """One value, or those that are ticked; nothing where the attribute was left empty."""
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
