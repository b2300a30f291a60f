"""LabelMe: one JSON file per image, as the desktop tool (wkentaro/labelme, versions 3 to 5) writes it.

A rectangle is given by two opposite corners or by all four; a circle by its centre and a point on its rim; a mask by a
PNG in base64, whose top left pixel lies at the first point. A file without shapes says that nothing was marked.
`imageData` is not read. The image-wide flag in `flags` that is set is the class of the image. `imagePath` is relative
to the file.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from salign.annotations.annotated import Annotated, by_maker
from salign.annotations.formats.export import areas, boxed, by_image, files_of, machine, machine_named, size_needed
from salign.annotations.formats.fields import Field, read_json, read_size
from salign.annotations.formats.notes import Notes, Reader, beside, read_each
from salign.annotations.formats.outlines import line
from salign.annotations.rle import Runs
from salign.errors import SalignError
from salign.files import replace_text
from salign.maps.shapes import Box, Polygon, Shape, Stroke

MOST_PIXELS = 40_000_000
"""Most pixels of a picture inside an annotation file."""

MarkedImage = tuple[str | None, str | None, Shape | Runs]
"""A mark as the machine that made it (None for a person), its label, and its shape or mask."""


@Reader
def read_labelme(path: Path, notes: Notes, *, width: float | None = None) -> list[Annotated]:
    """Read one file, or every `.json` of a folder and the folders below.

    Args:
        path: the file or folder.
        notes: collects the faults.
        width: thickness of lines and diameter of points, in pixels. If None, lines and points are faults.

    Raises:
        SalignError: the file is damaged or not of this format, or the folder has no `.json` file.
    """
    return read_each(path, ".json", notes, lambda file, where: _read(file, where, notes, width))


def _read(path: Path, where: str, notes: Notes, width: float | None) -> list[Annotated]:
    content = read_json(path)
    size = read_size(content.get("imageHeight"), content.get("imageWidth"))
    marks, whole = notes.each(where, content["shapes"].each(), lambda shape: [_marked(shape, size, width)])
    flags = content.get("flags")
    set_flags = [key for key, flag in flags.items() if flag.value is True] if flags and flags.value else []
    labels = tuple(Field(key, "flags", content).text() for key in set_flags)
    image = beside(where, content["imagePath"].text())
    return by_maker(marks, image, size, image_labels=labels, whole=whole)


def _marked(shape: Field, size: tuple[int, int] | None, width: float | None) -> MarkedImage:
    return machine_named(shape.get("description")), shape["label"].name(), _mark(shape, size, width)


def _mark(shape: Field, size: tuple[int, int] | None, width: float | None) -> Shape | Runs:
    kind_field = shape.get("shape_type")
    kind = kind_field.text() if kind_field else "polygon"
    points = shape["points"].pairs()
    if kind not in _COUNTS:
        shape["shape_type"].fail(", ".join(_COUNTS))
    if len(points) not in (_COUNTS[kind] or (len(points),)):
        needed = " or ".join(map(str, _COUNTS[kind]))
        raise SalignError(f"{shape.where}: a {kind} has {needed} points, got {len(points)}")
    match kind:
        case "polygon" | "oriented_rectangle":
            return shape.make(Polygon, tuple(points))
        case "rectangle":
            (x0, x1), (y0, y1) = ((min(axis), max(axis)) for axis in zip(*points, strict=True))
            if len(points) == 4 and sorted(points) != [(x0, y0), (x0, y1), (x1, y0), (x1, y1)]:
                return shape.make(Polygon, tuple(points))  # turned
            return Box(x0, y0, x1, y1)
        case "circle":
            return Stroke(tuple(points[:1]), (math.dist(*points),))
        case "mask":
            corner = (math.floor(points[0][1]), math.floor(points[0][0]))
            return shape["mask"].make(_mask, shape["mask"], size, corner)
        case _:
            return shape.make(line, points, width)


_COUNTS: dict[str, tuple[int, ...]] = {
    "polygon": (),
    "rectangle": (2, 4),
    "oriented_rectangle": (4,),
    "circle": (2,),
    "mask": (2,),
    "point": (1,),
    "line": (2,),
    "linestrip": (),
}
"""How many points each kind of shape may have; an empty tuple allows any number."""


def _mask(field: Field, size: tuple[int, int] | None, corner: tuple[int, int]) -> Runs:
    if size is None:
        raise SalignError("a mask needs imageHeight and imageWidth, which are not said")
    part = decoded_png(field.value)
    if part.mode not in ("1", "L"):
        raise SalignError(f"expected a black and white or grey mask, got one of the kind {part.mode}")
    marked = np.array(part) > 0
    return Runs(size, Runs.of(marked).counts, (*corner, *marked.shape))


def decoded_png(text: object) -> Image.Image:
    """Decode a PNG in base64 after checking its size.

    Raises:
        SalignError: the text is not base64 or not a PNG, or the picture is damaged or has more than `MOST_PIXELS`
            pixels.
    """
    try:
        if not isinstance(text, str):
            raise ValueError("it is no text")
        picture = Image.open(io.BytesIO(base64.b64decode(text, validate=False)), formats=("PNG",))
        if picture.height * picture.width > MOST_PIXELS:
            raise ValueError(f"it has {picture.width} x {picture.height} pixels; up to {MOST_PIXELS:,} are read")
        picture.load()
    except Exception as error:  # Pillow raises many kinds of errors on damaged files
        raise SalignError(f"expected a PNG in base64: {error}") from error
    return picture


def write_labelme(annotated: Sequence[Annotated], out: Path) -> Path:
    """Write `OUT/image.json` for each image; an image in a folder has its file in the same folder below `OUT`.

    Marks that are polygons and boxes alone stay so; all other marks become masks. If two images differ in their suffix
    alone, the names of their files keep the suffix: `a.png.json` and `a.jpg.json`. The `description` of a mark that a
    machine made is the name of the machine.

    Args:
        annotated: the marks, with the sizes of their images.
        out: the folder.

    Returns:
        `out`.

    Raises:
        SalignError: there are fixations, which have no area, or the size of an image is not known.
    """
    groups = by_image(annotated)
    files = files_of(groups, ".json")
    for image, marks in groups.items():
        name = PurePosixPath(files[image])
        size = size_needed(marks[0])
        shapes = [_shape_entry(annotation, area) for annotation in marks for area in areas(annotation)]
        content: dict[str, object] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": "/".join([".."] * (len(name.parts) - 1) + [image]),
            "imageData": None,
            "imageHeight": size[0],
            "imageWidth": size[1],
        }
        replace_text(out / name, json.dumps(content))
    return out


def _shape_entry(annotation: Annotated, area: Polygon | Box | Runs) -> dict[str, object]:
    entry: dict[str, object] = {"label": annotation.label or "unnamed", "group_id": None, "flags": {}}
    entry["description"] = machine(annotation) or ""
    if isinstance(area, Polygon):
        return entry | {"shape_type": "polygon", "points": area.points, "mask": None}
    if isinstance(area, Box):
        return entry | {"shape_type": "rectangle", "points": [[area.x0, area.y0], [area.x1, area.y1]], "mask": None}
    part, (top, left, height, width) = boxed(area.decode())
    png = io.BytesIO()
    Image.fromarray(part.astype(np.uint8) * 255).save(png, "PNG")
    corners = [[left, top], [left + width - 1, top + height - 1]]
    return entry | {"shape_type": "mask", "points": corners, "mask": base64.b64encode(png.getvalue()).decode("ascii")}
