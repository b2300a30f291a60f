"""CVAT for images 1.1: one XML file with an `<image>` for each image.

The reader takes polygons, boxes, ellipses and brush masks; boxes and ellipses may be rotated. The run lengths of a mask
go along the rows of the box `left`, `top`, `width`, `height`. Polylines and points need a thickness. A `<tag>` is the
class of the image. CVAT lists every image of a task, so an image without shapes counts as looked at and not marked. The
annotator of an image is the assignee of its task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from salign.annotations.annotated import Annotated, by_maker
from salign.annotations.formats.export import areas, by_image, machine, size_needed
from salign.annotations.formats.fields import Field, size_of
from salign.annotations.formats.notes import Notes, Reader, once_each
from salign.annotations.formats.outlines import Point, ellipse, line, turned_box
from salign.annotations.formats.rle import from_cvat, to_cvat
from salign.annotations.formats.xml import attributes, elements
from salign.annotations.rle import Runs
from salign.data.manifest import MACHINE
from salign.errors import SalignError
from salign.files import replace_text
from salign.maps.shapes import Box, Polygon, Shape

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_IGNORED = ("attribute", "tag")
_AUTO = f"{MACHINE}unknown"
"""The maker of a mark whose source is `auto`; CVAT does not say which machine it was."""


@Reader
def read_cvat(path: Path, notes: Notes, *, width: float | None = None) -> list[Annotated]:
    """Read `annotations.xml`.

    Args:
        path: the file.
        notes: collects faults, such as shapes without an area.
        width: thickness of polylines and diameter of points, in pixels. If None, polylines and points are faults.

    Raises:
        SalignError: the file is damaged, or it is of another version (for a video).
    """
    entries: list[tuple[str, list[Annotated]]] = []
    assigned: dict[str, str | None] = {}
    top = ""
    for element in elements(path):
        top = element.tag
        if element.tag in ("task", "job"):
            name = (element.findtext("assignee/username") or "").strip()
            own = Field(name, f"{path.name}: <assignee>").text() if name else None
            assigned[(element.findtext("id") or "").strip()] = own
        elif element.tag == "track":
            raise SalignError(f"{path}: holds tracks of a video; export the task as 'CVAT for images 1.1'")
        elif element.tag == "image":
            with notes.noting(path.name):
                annotator = _annotator(element, assigned)
                entries.append((f"image {len(entries) + 1}", _image(element, path.name, notes, width, annotator)))
    if top != "annotations":
        raise SalignError(f"{path}: the outermost element is <annotations>, got <{top[:40]}>")
    return once_each(entries, "entry", notes, file=path.name, key=lambda entry: (entry.image, entry.annotator))


def _annotator(image: Element, assigned: Mapping[str, str | None]) -> str | None:
    """Return the assignee of the image's task; if the task is not known, the assignee whom all tasks share, if any."""
    people = set(assigned.values())
    return assigned.get(image.get("task_id", ""), people.pop() if len(people) == 1 else None)


def _image(element: Element, source: str, notes: Notes, width: float | None, annotator: str | None) -> list[Annotated]:
    image = attributes(element, source)
    name, size = image["name"].text(), size_of(image["height"], image["width"])
    tags = tuple(attributes(tag, f"{source}: {name}")["label"].text() for tag in element.iter("tag"))

    def marked(child: Element) -> list[tuple[str | None, str | None, Shape | Runs]]:
        fields = attributes(child, f"{source}: {name}")
        if child.tag not in _SHAPES:
            raise SalignError(f"{source}: {name}: <{child.tag[:40]}> is not read; {', '.join(_SHAPES)} are")
        maker, label = _AUTO if child.get("source") == "auto" else None, fields["label"].text()
        return [(maker, label, mark) for mark in fields.make(_SHAPES[child.tag], fields, size, width)]

    children = [child for child in element if child.tag not in _IGNORED]
    marks, whole = notes.each(source, children, marked)
    return by_maker(marks, name, size, annotator=annotator, image_labels=tags, whole=whole)


def _points(fields: Field) -> list[Point]:
    text = fields["points"].value
    pairs = [pair.split(",") for pair in text.split(";")]
    if any(len(pair) != 2 for pair in pairs):
        fields["points"].fail("points x,y;x,y;...")
    return [(Field(x, "x", fields).number(), Field(y, "y", fields).number()) for x, y in pairs]


def _turn(fields: Field) -> float:
    rotation = fields.get("rotation")
    return math.radians(rotation.number()) if rotation else 0.0


Size = tuple[int, int]


def _polygon(fields: Field, size: Size, width: float | None) -> list[Shape]:
    return [Polygon(tuple(_points(fields)))]


def _box(fields: Field, size: Size, width: float | None) -> list[Shape]:
    x0, y0, x1, y1 = (fields[key].number() for key in ("xtl", "ytl", "xbr", "ybr"))
    if turn := _turn(fields):  # CVAT rotates a box about its centre
        x, y, across, down = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
        c, s = math.cos(turn), math.sin(turn)
        return [turned_box(x - c * across + s * down, y - s * across - c * down, 2 * across, 2 * down, turn)]
    return [Box(x0, y0, x1, y1)]


def _ellipse(fields: Field, size: Size, width: float | None) -> list[Shape]:
    x, y = fields["cx"].number(), fields["cy"].number()
    return [ellipse(x, y, fields["rx"].number(0), fields["ry"].number(0), _turn(fields))]


def _polyline(fields: Field, size: Size, width: float | None) -> list[Shape]:
    return [line(_points(fields), width)]


def _dots(fields: Field, size: Size, width: float | None) -> list[Shape]:
    return [line([point], width) for point in _points(fields)]


def _mask(fields: Field, size: Size, width: float | None) -> list[Runs]:
    top, left, height, across = (fields[key].whole() for key in ("top", "left", "height", "width"))
    return [from_cvat(fields["rle"].value, size, (top, left, height, across))]


_SHAPES: dict[str, Callable[[Field, Size, float | None], Sequence[Shape | Runs]]] = {
    "polygon": _polygon,
    "box": _box,
    "ellipse": _ellipse,
    "mask": _mask,
    "polyline": _polyline,
    "points": _dots,
}


def write_cvat(annotated: Sequence[Annotated], out: Path) -> Path:
    """Write a file that CVAT imports as "CVAT 1.1".

    Marks that are polygons and boxes alone stay so; all other marks become masks. The source of a mark is `manual`, or
    `auto` if a machine made it.

    Args:
        annotated: the marks, with the sizes of their images.
        out: the file; `.xml` is added if it has no suffix.

    Returns:
        The file that was written.

    Raises:
        SalignError: there are fixations, which have no area, or the size of an image is not known.
    """
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    for number, (image, marks) in enumerate(by_image(annotated).items()):
        height, width = size_needed(marks[0])
        lines.append(f'  <image id="{number}" name={quoteattr(image)} width="{width}" height="{height}">')
        lines += [_element_text(annotation, area) for annotation in marks for area in areas(annotation)]
        lines.append("  </image>")
    target = out if out.suffix else out.with_suffix(".xml")
    replace_text(target, "\n".join([*lines, "</annotations>", ""]))
    return target


def _element_text(annotation: Annotated, area: Polygon | Box | Runs) -> str:
    source = "manual" if machine(annotation) is None else "auto"
    common = f'label={quoteattr(annotation.label or "unnamed")} source="{source}" occluded="0" z_order="0"'
    if isinstance(area, Polygon):
        points = ";".join(f"{x!r},{y!r}" for x, y in area.points)
        return f'    <polygon {common} points="{points}"></polygon>'
    if isinstance(area, Box):
        corners = f'xtl="{area.x0!r}" ytl="{area.y0!r}" xbr="{area.x1!r}" ybr="{area.y1!r}"'
        return f"    <box {common} {corners}></box>"
    text, (top, left, height, width) = to_cvat(area.decode())
    position = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    return f'    <mask {common} rle="{text}" {position}></mask>'
