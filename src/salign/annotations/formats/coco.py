"""COCO instances: one JSON file with `images`, `annotations` and `categories`.

A `segmentation` is a list of polygons (the area is their union), run lengths as a list, or run lengths as COCO's
string. Without a segmentation (or with `[]`, `[[]]` or `{}`), the `bbox` is the area. Crowds are read like other areas.
An image in `images` without an annotation counts as looked at and not marked. Coordinates are in pixels, and (0, 0) is
the top left corner of the first pixel. Among the `attributes`, only the `provenance` that an export of salign writes is
read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from salign.annotations.annotated import Annotated, by_maker
from salign.annotations.formats.export import areas, by_image, label_order, machine, machine_named, size_needed
from salign.annotations.formats.fields import Field, read_json, read_size, size_of
from salign.annotations.formats.notes import Notes, Reader, once_each
from salign.annotations.formats.rle import from_coco_string, to_coco_counts, to_coco_string
from salign.annotations.rle import Runs, run_counts
from salign.errors import SalignError
from salign.files import replace_text
from salign.maps.shapes import Box, Polygon, Shape

Read = TypeVar("Read")
Mark = tuple[str | None, str | None, Shape | Runs]
Size = tuple[int, int]


@Reader
def read_coco(path: Path, notes: Notes) -> list[Annotated]:
    """Read an instances file.

    Faults are ids that are used for different items or refer to nothing, and segmentations that cannot be read.

    Args:
        path: the file.
        notes: collects the faults.

    Raises:
        SalignError: the file is damaged.
    """
    content, where = read_json(path), path.name
    names = _by_id(content["categories"], notes, where, lambda item: item["name"].name())
    images = _by_id(content["images"], notes, where, _image)
    marks: dict[str, list[Mark]] = {}
    spoilt: set[str | None] = set()
    for item in content["annotations"].each():
        key = None
        with notes.noting(where):
            key = _id(item["image_id"])
            category = _id(item["category_id"])
            if key not in images:
                raise SalignError(f"{item.where}: there is no image with the id {key}")
            if category not in names:
                raise SalignError(f"{item.where}: there is no category with the id {category}")
            image, label = images[key], names[category]
            if image is not None and label is not None:
                maker = _maker(item)
                marks.setdefault(key, []).extend((maker, label, mark) for mark in _marks(item, image[1]))
                continue
        spoilt.add(key)
    entries = (
        (f"the image {key}", by_maker(marks.get(key, ()), *image, whole=not spoilt & {key, None}))
        for key, image in images.items()
        if image is not None
    )
    return once_each(entries, "entry", notes, file=where)


def _by_id(listed: Field, notes: Notes, where: str, read: Callable[[Field], Read]) -> dict[str, Read | None]:
    """Return the items of a list by their ids.

    The value of a faulty item is None, so that annotations which refer to it are not reported as further faults.
    """
    content: dict[str, Read | None] = {}
    for item in listed.each():
        with notes.noting(where):
            key = _id(item["id"])
            new = key not in content
            earlier = content.get(key)
            content[key] = None  # stays so if reading the item fails
            if new:
                content[key] = read(item)
            elif earlier is not None:
                if read(item) != earlier:
                    raise SalignError(f"{item.where}: the id {key} is used twice")
                content[key] = earlier
    return content


def _image(image: Field) -> tuple[str, Size | None]:
    return image["file_name"].text(), read_size(image.get("height"), image.get("width"))


def _id(field: Field) -> str:
    return field.name()


def _maker(item: Field) -> str | None:
    attributes = item.get("attributes")
    return (
        machine_named(attributes.get("provenance"))
        if attributes is not None and isinstance(attributes.value, dict)
        else None
    )


def _marks(item: Field, size: Size | None) -> list[Shape | Runs]:
    segmentation = item.get("segmentation")
    if segmentation is None or _says_nothing(segmentation.value):
        corners = item["bbox"].numbers()
        if len(corners) != 4 or min(corners[2:]) < 0:
            item["bbox"].fail("[x, y, width, height]")
        x, y, width, height = corners
        return [Box(x, y, x + width, y + height)]
    if isinstance(segmentation.value, list):
        return [_polygon(outline) for outline in segmentation.each() if outline.value != []]
    counts, sides = segmentation["counts"], segmentation["size"].each()
    stored = size_of(*sides) if len(sides) == 2 else segmentation["size"].fail("[height, width]")
    if size not in (None, stored):
        segmentation["size"].fail(f"the image's [height, width], which are {size[0]} and {size[1]}")
    if isinstance(counts.value, str):
        return [counts.make(from_coco_string, counts.value, stored)]
    counts.each()
    return [counts.make(Runs, stored, counts.make(run_counts, counts.value), columns=True)]


def _says_nothing(segmentation: object) -> bool:
    """Return whether a segmentation is `{}`, `[]` or `[[]]`, as tools write it for a box without an outline."""
    return not segmentation or (isinstance(segmentation, list) and all(outline == [] for outline in segmentation))


def _polygon(outline: Field) -> Polygon:
    values = outline.value
    if not isinstance(values, list) or len(values) < 6 or len(values) % 2:
        outline.fail("a polygon [x1, y1, x2, y2, x3, y3, ...]")
    if any(isinstance(value, str) for value in values):
        values = outline.numbers()
    return outline.make(Polygon, tuple(zip(values[::2], values[1::2], strict=True)))


def write_coco(annotated: Sequence[Annotated], out: Path, *, compressed: bool = True) -> Path:
    """Write an instances file.

    Marks that are polygons and boxes alone are written as polygons, all other marks as run lengths. The name of a
    machine that made a mark is written to `attributes.provenance`.

    Args:
        annotated: the marks, with the sizes of their images.
        out: the file; `.json` is added if it has no suffix.
        compressed: whether to write run lengths as COCO's string, else as a list.

    Returns:
        The file that was written.

    Raises:
        SalignError: there are fixations, which have no area, or the size of an image is not known.
    """
    labels = {label: number for number, label in enumerate(label_order(annotated), 1)}
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (image, marks) in enumerate(by_image(annotated).items(), 1):
        height, width = size_needed(marks[0])
        images.append({"id": number, "file_name": image, "height": height, "width": width})
        for annotation in marks:
            for area in areas(annotation):
                entry = _annotation_entry(area, (height, width), compressed) | {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": labels[annotation.label or "unnamed"],
                    "iscrowd": 0,
                }
                if (made_by := machine(annotation)) is not None:
                    entry["attributes"] = {"provenance": made_by}
                annotations.append(entry)
    categories = [{"id": number, "name": label} for label, number in labels.items()]
    target = out if out.suffix else out.with_suffix(".json")
    replace_text(target, json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return target


def _annotation_entry(area: Polygon | Box | Runs, size: tuple[int, int], compressed: bool) -> dict[str, object]:
    if isinstance(area, Runs):
        counts: object = to_coco_string(area) if compressed else to_coco_counts(area)
        mask = area.decode()
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        low, high = (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)
        amount: float = area.pixels
        segmentation: object = {"size": list(size), "counts": counts}
    else:
        corners = (
            area.points
            if isinstance(area, Polygon)
            else ((area.x0, area.y0), (area.x1, area.y0), (area.x1, area.y1), (area.x0, area.y1))
        )
        points = np.array(corners)
        low, high = points.min(0), points.max(0)
        x, y = points.T
        amount = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
        segmentation = [points.ravel().tolist()]
    box = [float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])]
    return {"segmentation": segmentation, "bbox": box, "area": amount}
