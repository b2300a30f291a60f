"""COCO instances: one JSON file with `images`, `annotations` and `categories`.

A `segmentation` is a list of polygons (their union), run lengths as a list, or run lengths as COCO's string; without
one, the `bbox` counts. Crowds are areas like others. An image in the list without an annotation says that nothing was
marked. Coordinates are pixels, with (0, 0) at the corner of the first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from salign.data.annotations import Annotated, by_maker
from salign.data.runs import Runs, run_counts
from salign.data.sources.export import areas, by_image, label_order, machine, machine_named, size_needed
from salign.data.sources.fields import Field, read_json, size_of
from salign.data.sources.rle import from_coco_string, to_coco_counts, to_coco_string
from salign.files import replace_text
from salign.maps.shapes import Box, Polygon, Shape
from salign.types import SalignError


def read_coco(path: Path) -> list[Annotated]:
    """Read an instances file.

    Raises:
        SalignError: the file is damaged, an id is used twice or leads nowhere, or a segmentation cannot be.
    """
    content = read_json(path)
    names = {_id(one["id"]): one["name"].text() for one in content["categories"].each()}
    images: dict[str, Field] = {}
    for image in content["images"].each():
        if images.setdefault(_id(image["id"]), image) is not image:
            raise SalignError(f"{image.where}: the id {_id(image['id'])} is used twice")
    sizes = {key: size_of(image["height"], image["width"]) for key, image in images.items()}
    marks: dict[str, list[tuple[str | None, str | None, Shape | Runs]]] = {key: [] for key in images}
    for one in content["annotations"].each():
        key, category = _id(one["image_id"]), _id(one["category_id"])
        if key not in images:
            raise SalignError(f"{one.where}: there is no image with the id {key}")
        if category not in names:
            raise SalignError(f"{one.where}: there is no category with the id {category}")
        said = one.get("attributes")
        maker = machine_named(said.get("provenance")) if said else None
        marks[key] += [(maker, names[category], mark) for mark in _marks(one, sizes[key])]
    return [
        annotated
        for key, image in images.items()
        for annotated in by_maker(marks[key], image["file_name"].text(), sizes[key])
    ]


def _id(field: Field) -> str:
    return field.name()


def _marks(one: Field, size: tuple[int, int]) -> list[Shape | Runs]:
    segmentation = one.get("segmentation")
    if segmentation is None or segmentation.value == []:
        corners = one["bbox"].numbers()
        if len(corners) != 4 or min(corners[2:]) < 0:
            one["bbox"].fail("[x, y, width, height]")
        x, y, width, height = corners
        return [Box(x, y, x + width, y + height)]
    if isinstance(segmentation.value, list):
        return [_polygon(outline) for outline in segmentation.each()]
    counts, given = segmentation["counts"], segmentation["size"].each()
    if len(given) != 2 or (given[0].whole(), given[1].whole()) != size:
        segmentation["size"].fail(f"the image's [height, width], which are {size[0]} and {size[1]}")
    if isinstance(counts.value, str):
        return [counts.make(from_coco_string, counts.value, size)]
    counts.each()
    return [counts.make(Runs, size, counts.make(run_counts, counts.value), columns=True)]


def _polygon(outline: Field) -> Polygon:
    values = outline.value
    if not isinstance(values, list) or len(values) < 6 or len(values) % 2:
        outline.fail("a polygon [x1, y1, x2, y2, x3, y3, ...]")
    return outline.make(Polygon, tuple(zip(values[::2], values[1::2], strict=True)))


def write_coco(annotated: Sequence[Annotated], out: Path, *, compressed: bool = True) -> Path:
    """Write an instances file: polygons where the outlines are known, run lengths otherwise.

    What a machine marked has its name in `attributes.provenance`.

    Args:
        annotated: with sizes.
        out: the file; `.json` is added where it has no suffix.
        compressed: write run lengths as COCO's string, else as a list.

    Raises:
        SalignError: fixations, which have no area, or an image whose size is not known.
    """
    labels = {label: number for number, label in enumerate(label_order(annotated), 1)}
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (image, marks) in enumerate(by_image(annotated).items(), 1):
        height, width = size_needed(marks[0])
        images.append({"id": number, "file_name": image, "height": height, "width": width})
        for one in marks:
            for area in areas(one):
                entry = _written(area, (height, width), compressed) | {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": labels[one.label or "unnamed"],
                    "iscrowd": 0,
                }
                if (made_by := machine(one)) is not None:
                    entry["attributes"] = {"provenance": made_by}
                annotations.append(entry)
    categories = [{"id": number, "name": label} for label, number in labels.items()]
    target = out if out.suffix else out.with_suffix(".json")
    replace_text(target, json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return target


def _written(area: Polygon | Box | Runs, size: tuple[int, int], compressed: bool) -> dict[str, object]:
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
