"""YOLO: one text file per image with one line per object, which holds a class number and shares of width and height.

A line of five numbers is a box (`class x y width height`, where x and y are its centre). A longer line is the polygon
of a segmentation (`class x1 y1 x2 y2 x3 y3 ...`). If `data.yaml` has a `kpt_shape`, each line is a pose, of which the
box is read and the key points after it are not. An empty file says that nothing was marked. The names of the classes
come from `classes.txt`, `obj.names` or the `names` of a `data.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from salign.annotations.annotated import Annotated, by_label
from salign.annotations.formats.export import areas, boxed, by_image, files_of, label_order, size_needed
from salign.annotations.formats.fields import Field, read_text
from salign.annotations.formats.notes import Notes, Reader, read_each
from salign.annotations.rle import Runs
from salign.data.manifest.image_files import stem
from salign.errors import SalignError
from salign.files import replace_text
from salign.maps.shapes import Box, Polygon, Shape
from salign.readers import read_yaml

NAMES = ("classes.txt", "obj.names", "data.yaml")
"""The files in the folder that is read in which the names of the classes are looked for."""
_ABOUT = ("README.dataset.txt", "README.roboflow.txt")
"""Text files that Roboflow writes beside the labels."""
_YAML = (".yaml", ".yml")


class _Layout(NamedTuple):
    """How the lines of the label files are to be read."""

    names: Sequence[str]
    """The names of the classes in the order of their numbers."""
    points: tuple[int, int] | None
    """How many key points follow the box of a pose, and how many numbers each has (`kpt_shape`); None if lines are
    boxes or polygons."""


@Reader
def read_yolo(path: Path, notes: Notes, *, classes: Path | None = None) -> list[Annotated]:
    """Read one text file, or every `.txt` of a folder and the folders below.

    Args:
        path: the folder of the labels, or one file.
        notes: collects the faults.
        classes: the file with the names of the classes, text or YAML. None takes the files of `NAMES` in the folder.

    Returns:
        Marks with `relative` coordinates. The name of the image is that of the file without its suffix.

    Raises:
        SalignError: the names of the classes are missing or contradict each other, or the folder has no text file.
    """
    folder = path if path.is_dir() else path.parent
    there = [folder / name for name in NAMES if (folder / name).is_file()]
    layout = _layout([classes] if classes else there, there, folder)
    about = {file.resolve() for file in (*there, *([classes] if classes else []))}

    def read(file: Path, where: str) -> list[Annotated]:
        return [] if file.name in (*NAMES, *_ABOUT) or file.resolve() in about else _read(file, where, notes, layout)

    return read_each(path, ".txt", notes, read)


def _layout(files: Sequence[Path], there: Sequence[Path], folder: Path) -> _Layout:
    """Return how lines are to be read.

    Args:
        files: the files with the names of the classes, which must agree.
        there: the files of `NAMES` in the folder. The first YAML file among `files` and these gives the key points.
        folder: the folder, for error messages.
    """
    if not files:
        raise SalignError(
            f"{folder}: found none of {', '.join(NAMES)}; put the file with the names there, or give it as --classes "
            "of salign maps import"
        )
    lists = [(file, _names(file)) for file in files]
    for file, names in lists:
        if names != lists[0][1]:
            raise SalignError(
                f"{lists[0][0]} and {file} name other classes, or in another order; leave the right one "
                "alone there, or give it as --classes of salign maps import"
            )
    shaped = [file for file in (*files, *there) if file.suffix.lower() in _YAML]
    return _Layout(lists[0][1], _points(shaped[0]) if shaped else None)


def _names(path: Path) -> list[str]:
    if path.suffix.lower() not in _YAML:
        lines = enumerate(read_text(path).splitlines(), 1)
        return [Field(line.strip(), f"{path.name} line {k}").text() for k, line in lines if line.strip()]
    names = _content(path)["names"]
    if isinstance(names.value, dict):
        if sorted(map(str, names.value)) != sorted(map(str, range(len(names.value)))):
            names.fail("names numbered 0, 1, 2, ...")
        return [names.make(_numbered, names.value, k).name() for k in range(len(names.value))]
    return [name.name() for name in names.each()]


def _numbered(names: dict[Any, Any], number: int) -> Field:
    return Field(names.get(number, names.get(str(number))), f"names: {number}")


def _points(path: Path) -> tuple[int, int] | None:
    field = _content(path).get("kpt_shape")
    if field is None:
        return None
    numbers = field.each()
    if len(numbers) != 2:
        field.fail("[number of key points, 2 or 3]")
    return numbers[0].whole(1, 10_000), numbers[1].whole(2, 3)


def _content(path: Path) -> Field:
    return Field(read_yaml(path), path.name)


def _read(path: Path, where: str, notes: Notes, layout: _Layout) -> list[Annotated]:
    lines = ((k, text) for k, text in enumerate(read_text(path).splitlines(), 1) if text.strip())
    marks, whole = notes.each(where, lines, lambda line: [_mark(f"line {line[0]}", line[1], layout)])
    return by_label(marks, PurePosixPath(where).with_suffix("").as_posix(), relative=True, whole=whole)


def _mark(where: str, text: str, layout: _Layout) -> tuple[str | None, Shape | Runs]:
    first, *rest = (Field(word, where) for word in text.split())
    which = first.whole(0)
    if which >= len(layout.names):
        raise SalignError(f"{where}: class {which}, and there are {len(layout.names)} names, the first is class 0")
    return layout.names[which], Field(text, where).make(_shape, [value.number(-1, 2) for value in rest], layout.points)


def _shape(values: list[float], points: tuple[int, int] | None) -> Shape:
    if points is not None and len(values) != 4 + points[0] * points[1]:
        raise SalignError(
            f"expected a class, 4 numbers (box) and {points[0]} x {points[1]} (key points, as kpt_shape says), "
            f"got {len(values)} numbers"
        )
    if points is not None or len(values) == 4:
        x, y, width, height = values[:4]
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if len(values) < 6 or len(values) % 2 or 2 in values:
        what = "2, as of a visible key point" if 2 in values else f"{len(values)} numbers"
        raise SalignError(
            f"expected a class and 4 numbers (box) or 6, 8, ... from 0 to 1 (polygon), got {what}; of a pose, "
            "data.yaml says the key points (kpt_shape): put it beside the labels, or give it as --classes "
            "of salign maps import"
        )
    return Polygon(tuple(zip(values[::2], values[1::2], strict=True)))


def write_yolo(annotated: Sequence[Annotated], out: Path) -> Path:
    """Write `OUT/image.txt` for each image, and `OUT/classes.txt`.

    Marks that are polygons and boxes alone stay so; all other marks are written as the bounding box of their mask.

    Args:
        annotated: the marks, with the sizes of their images.
        out: the folder.

    Returns:
        `out`.

    Raises:
        SalignError: there are fixations, which have no area, the size of an image is not known, two images would need
            the same file, or an image's file would have one of `NAMES`.
    """
    names, groups = label_order(annotated), by_image(annotated)
    files = files_of(groups, ".txt")
    if shared := [image for image, file in files.items() if file != str(PurePosixPath(f"{stem(image)}.txt"))]:
        raise SalignError(
            f"{', '.join(shared[:3])}: YOLO's labels are named by the image without its suffix, and another image has "
            "that name, too; rename one of the two"
        )
    for image, marks in groups.items():
        height, width = size_needed(marks[0])
        lines = []
        for annotation in marks:
            for area in areas(annotation):
                shares = (f"{value:.17g}" for value in _shares(area, height, width))
                lines.append(" ".join([str(names.index(annotation.label or "unnamed")), *shares]))
        target = out / files[image]
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
