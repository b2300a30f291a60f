"""YOLO: one text file per image, a line per object: class number and shares of width and height.

Five numbers are a box (`class x y width height`, the middle of the box), more are the polygon of a segmentation
(`class x1 y1 x2 y2 x3 y3 ...`). An empty file says that nothing was marked. Names of the classes come from
`classes.txt`, `obj.names` or the `names` of a `data.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from salign.data.annotations import Annotated, by_label
from salign.data.runs import Runs
from salign.data.sources.export import areas, boxed, by_image, inside, label_order, size_needed
from salign.data.sources.fields import Field, read_each, read_text
from salign.files import replace_text
from salign.maps.shapes import Box, Polygon, Shape
from salign.readers import read_yaml
from salign.types import SalignError

NAMES = ("classes.txt", "obj.names", "data.yaml")
"""Where the names of the classes are looked for, in the folder that is read."""


def read_yolo(path: Path, *, classes: Path | None = None) -> list[Annotated]:
    """Read one text file, or every `.txt` of a folder and the folders below.

    Args:
        path: folder of the labels, or one file.
        classes: file with the names of the classes; the first of `NAMES` in the folder when None.

    Returns:
        Marks with `relative` coordinates; the image's name is the file's, without a suffix.

    Raises:
        SalignError: the names are missing, or a line is damaged; of a folder, all faults at once.
    """
    folder = path if path.is_dir() else path.parent
    names = _names(classes or next((folder / name for name in NAMES if (folder / name).is_file()), None), folder)
    return read_each(path, ".txt", lambda file: [] if file.name in NAMES else _read(file, folder, names))


def _names(path: Path | None, folder: Path) -> list[str]:
    if path is None:
        raise SalignError(f"{folder}: found none of {', '.join(NAMES)}; give the file with the names as --classes")
    if path.suffix.lower() not in (".yaml", ".yml"):
        lines = enumerate(read_text(path).splitlines(), 1)
        return [Field(line.strip(), f"{path.name} line {k}").text() for k, line in lines if line.strip()]
    names = Field(read_yaml(path), path.name)["names"]
    if isinstance(names.value, dict):
        if sorted(map(str, names.value)) != sorted(map(str, range(len(names.value)))):
            names.fail("names numbered 0, 1, 2, ...")
        return [names.make(_numbered, names.value, k).text() for k in range(len(names.value))]
    return [name.name() for name in names.each()]


def _numbered(names: dict[Any, Any], number: int) -> Field:
    return Field(names.get(number, names.get(str(number))), f"names: {number}")


def _read(path: Path, folder: Path, names: Sequence[str]) -> list[Annotated]:
    marks: list[tuple[str | None, Shape | Runs]] = []
    for number, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip():
            continue
        where = f"{path.name} line {number}"
        first, *rest = (Field(word, where) for word in text.split())
        which = first.whole(0)
        if which >= len(names):
            raise SalignError(f"{where}: class {which}, and there are {len(names)} names (0 to {len(names) - 1})")
        marks.append((names[which], Field(text, where).make(_shape, [value.number(-1, 2) for value in rest])))
    name = path.relative_to(folder).with_suffix("").as_posix()
    return by_label(marks, name, relative=True)


def _shape(values: list[float]) -> Shape:
    if len(values) == 4:
        x, y, width, height = values
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if len(values) < 6 or len(values) % 2:
        raise SalignError(f"expected a class and 4 numbers (box) or 6, 8, ... (polygon), got {len(values)} numbers")
    return Polygon(tuple(zip(values[::2], values[1::2], strict=True)))


def write_yolo(annotated: Sequence[Annotated], out: Path) -> Path:
    """Write `OUT/image.txt` for each image and `OUT/classes.txt`; of a mask, the box around it.

    Raises:
        SalignError: fixations, which have no area, or an image whose size is not known.
    """
    names = label_order(annotated)
    for image, marks in by_image(annotated).items():
        height, width = size_needed(marks[0])
        lines = []
        for one in marks:
            for area in areas(one):
                shares = (f"{value:.17g}" for value in _shares(area, height, width))
                lines.append(" ".join([str(names.index(one.label or "unnamed")), *shares]))
        target = out / PurePosixPath(inside(image)).with_suffix(".txt")
        if target.name in NAMES:
            raise SalignError(f"{image}: an image of this name cannot be exported, its labels would be {target.name}")
        replace_text(target, "".join(f"{line}\n" for line in lines))
    replace_text(out / "classes.txt", "".join(f"{name}\n" for name in names))
    return out


def _shares(area: Polygon | Box | Runs, height: int, width: int) -> list[float]:
    if isinstance(area, Polygon):
        return [share for x, y in area.points for share in (x / width, y / height)]
    if isinstance(area, Box):
        x0, y0, x1, y1 = area.x0, area.y0, area.x1, area.y1
    else:
        _, (top, left, tall, wide) = boxed(area.decode())
        x0, y0, x1, y1 = left, top, left + wide, top + tall
    return [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
