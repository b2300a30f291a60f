"""Label Studio: the JSON export (a list of tasks), with positions in percent of the image.

Rectangles are rotated about their top left corner and ellipses about their centre, in degrees, clockwise on the screen.
Brush masks are packed bits (see `rle`). `choices` are the class of the image, unless they share the id of a region;
they are then an attribute of that region and are not read. Each annotation is by one annotator (`completed_by`). An
annotation with an empty result says that nothing was marked. A task without annotations, or with cancelled ones only,
says nothing about its image.

The names of uploaded files have eight hexadecimal digits in front (`1a2b3c4d-name.png`), which `match.Images` allows
for. For local files (`/data/local-files/?d=folder/name.png`) the path after `d=` counts.
"""

from __future__ import annotations

import math
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from salign.annotations.annotated import Annotated, by_label
from salign.annotations.formats.fields import Field, quote, read_json, size_of
from salign.annotations.formats.notes import Notes, Reader
from salign.annotations.formats.outlines import Point, ellipse, line, turned_box
from salign.annotations.formats.rle import from_label_studio
from salign.annotations.rle import Runs
from salign.errors import SalignError
from salign.maps.shapes import Box, Polygon, Shape

_WITHOUT_AREA = ("textarea", "rating", "number", "datetime", "taxonomy", "pairwise", "ranker", "relation", "labels")
"""Types of results that mark no area."""

Mark = tuple[str | None, Shape | Runs]
Size = tuple[int, int]


@Reader
def read_label_studio(
    path: Path, notes: Notes, *, width: float | None = None, image: str | None = None, attribute: str | None = None
) -> list[Annotated]:
    """Read an export in the format JSON (not JSON-MIN).

    Args:
        path: the file.
        notes: collects faults, such as results that mark an area and cannot be read.
        width: diameter of key points in pixels; None takes the width that each key point has in the file.
        image: the key of the task's data that holds the image. If None it is `image`, or else the only key whose value
            ends like the name of an image.
        attribute: the `from_name` of the choices that are the class of the image, if the tool asked several questions;
            None takes all choices.

    Raises:
        SalignError: the file is damaged.
    """

    def task(field: Field) -> list[Annotated]:
        if field.get("annotations") is None:
            raise SalignError(f"{field.where}: has no annotations; export as JSON, not JSON-MIN")
        name = _image(field, image)
        finished = (annotation for annotation in field["annotations"].each() if not _cancelled(annotation))
        return notes.each(
            path.name, finished, lambda annotation: _annotation(annotation, name, path.name, notes, width, attribute)
        )[0]

    return notes.each(path.name, read_json(path).each(), task)[0]


def _cancelled(annotation: Field) -> bool:
    field = annotation.get("was_cancelled")
    return field is not None and field.value is True


def _annotation(
    annotation: Field, name: str, where: str, notes: Notes, width: float | None, attribute: str | None
) -> list[Annotated]:
    results = annotation["result"].each()
    kinds = [result["type"].text() for result in results]
    marking = [result for result, kind in zip(results, kinds, strict=True) if kind not in (*_WITHOUT_AREA, "choices")]
    regions = {own for result in marking if (own := _own(result)) is not None}
    apart: dict[str, Field] = {}  # labels by region: if shapes and labels are two tools, both results share an id
    choices: list[str] = []
    for result, kind in zip(results, kinds, strict=True):
        if kind == "labels" and (own := _own(result)) is not None:
            apart[own] = result["value"]["labels"]
        question = result.get("from_name") if attribute else None
        about_all = kind == "choices" and _own(result) not in regions  # other choices are attributes of a region
        if about_all and (attribute is None or (question is not None and question.value == attribute)):
            choices += [choice.name() for choice in result["value"]["choices"].each()]
    sizes: set[Size] = set()

    def marks(result: Field) -> list[Mark]:
        size = _size(result)
        sizes.add(size)
        return _marks(result, size, width, apart)

    pairs, whole = notes.each(where, marking, marks)
    if len(sizes) > 1:
        raise SalignError(f"{annotation.where}: the marks are on images of different sizes; import pages apart")
    size = next(iter(sizes), None)
    who = _annotator(annotation)
    return by_label(pairs, name, size, annotator=who, image_labels=tuple(dict.fromkeys(choices)), whole=whole)


def _own(result: Field) -> str | None:
    """Return the id of the region that a result is about; None if it has none."""
    own = result.get("id")
    return own.name() if own else None


def _image(task: Field, key: str | None) -> str:
    data = task["data"]
    if key is None and data.get("image") is not None:
        key = "image"
    if key is None:
        values = [name for name, value in data.items() if isinstance(value.value, str) and _suffixed(value.value)]
        if len(values) != 1:
            names = ", ".join(quote(name) for name, _ in data.items())
            raise SalignError(f"{data.where}: which of {names} is the image? Say it with --image-key")
        key = values[0]
    address = data[key].text()
    try:
        parts = urllib.parse.urlsplit(address) if "?" in address or "://" in address else None
        local = urllib.parse.parse_qs(parts.query).get("d") if parts else None
    except ValueError as error:
        raise SalignError(f"{data[key].where}: {quote(address)} is no address: {error}") from error
    name = local[0] if local else urllib.parse.unquote(parts.path if parts else address)
    return Field(name, key, data).text()


def _suffixed(text: str) -> bool:
    from salign.data.manifest.image_files import SUFFIXES

    return any(text.lower().endswith(suffix) for suffix in SUFFIXES)


def _annotator(annotation: Field) -> str | None:
    who = annotation.get("completed_by")
    if who is None:
        return None
    if isinstance(who.value, dict):
        inner = who.get("email") or who.get("username") or who.get("id")
        return inner.name() if inner else None
    return who.name()


def _size(result: Field) -> Size:
    turned = result.get("image_rotation")
    if turned and turned.number() != 0:
        turned.fail("an image that was not turned in the tool (0)")
    return size_of(result["original_height"], result["original_width"])


def _marks(result: Field, size: Size, width: float | None, apart: dict[str, Field]) -> list[Mark]:
    kind = result["type"].text()
    bare = kind.removesuffix("labels")
    if bare not in _SHAPES:
        result["type"].fail(", ".join(_SHAPES))
    value = result["value"]
    labels = value.get(kind) or apart.get(_own(result) or "")
    names: list[str | None] = [label.name() for label in labels.each()] if labels else []
    shape = value.make(_SHAPES[bare], value, size, width)
    return [(name, shape) for name in names or [None]]


def _at(value: Field, size: Size, x: str = "x", y: str = "y") -> Point:
    return value[x].number() / 100 * size[1], value[y].number() / 100 * size[0]


def _polygon(value: Field, size: Size, width: float | None) -> Shape:
    return Polygon(tuple((x / 100 * size[1], y / 100 * size[0]) for x, y in value["points"].pairs()))


def _rectangle(value: Field, size: Size, width: float | None) -> Shape:
    (x, y), (across, down) = _at(value, size), _at(value, size, "width", "height")
    turn = _turn(value)
    return turned_box(x, y, across, down, turn) if turn else Box(x, y, x + across, y + down)


def _ellipse(value: Field, size: Size, width: float | None) -> Shape:
    return ellipse(*_at(value, size), *_at(value, size, "radiusX", "radiusY"), _turn(value))


def _keypoint(value: Field, size: Size, width: float | None) -> Shape:
    own = value.get("width")  # in percent of the image's width; the tool draws it as a radius
    diameter = 2 * own.number(0) / 100 * size[1] if own and width is None else width
    return line([_at(value, size)], diameter)


def _brush(value: Field, size: Size, width: float | None) -> Runs:
    if value["format"].value != "rle":
        value["format"].fail("'rle'")
    packed = value["rle"]
    packed.each()
    try:
        data = bytes(packed.value)
    except (ValueError, TypeError, OverflowError) as error:
        raise SalignError(f"{packed.where}: expected bytes, 0 to 255: {error}") from error
    return from_label_studio(data, size)


def _turn(value: Field) -> float:
    rotation = value.get("rotation")
    return math.radians(rotation.number()) if rotation else 0.0


_SHAPES: dict[str, Callable[[Field, Size, float | None], Shape | Runs]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "keypoint": _keypoint,
    "brush": _brush,
}
