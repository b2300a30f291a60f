"""`shapes.json` beside a manifest: the marks behind its maps as they were drawn, by image and annotator.

The form of the file is `{"salign": version, "study": {...}, "annotations": [...]}`, with one line per entry and the
keys of `KEYS` in each entry. The annotation server and `salign maps import` both write this form. Files that version
0.1 of either wrote are read, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from salign import __version__
from salign.annotations.annotated import Annotated
from salign.annotations.formats.fields import Field, read_json, read_size, size_of
from salign.data.manifest.file_names import shapes_file as shapes_file
from salign.files import replacing
from salign.maps.shapes import shape_from_json, shape_to_json

KEYS = (
    "image", "path", "width", "height", "annotator", "unit", "answer", "label", "chosen", "shapes", "blank", "skipped",
    "review", "confidence", "elapsed_ms", "arm", "revision", "started", "saved", "page",
)  # fmt: skip
"""The keys of an entry in their order.

- `image`, `path`: the image's id, and its path below the folder of the images.
- `width`, `height`: the image size in whose pixels the shapes are.
- `annotator`, `unit`: who marked the image, and in which unit of the study (written by the server).
- `answer`, `label`, `chosen`: the class, what the tool calls the marks (written by an import), and whether this image
  of a pair was chosen.
- `shapes`, `blank`: the shapes, and whether the annotator said that there is nothing to mark.
- `skipped`: why the image was skipped, or null.

The server alone writes the remaining keys.
"""


@dataclass(frozen=True)
class Entry:
    """What one annotator said about one image."""

    image: str
    """The image's id."""
    marks: Annotated
    """The marks. Their `image` is the path of the image if the file gives it, else the image's id."""
    answer: str | None
    """The class; None if there is none. (An empty text, which earlier imports wrote for no class, is read as None.)"""
    locates: bool
    """Whether the entry says where people looked: it has shapes, or it says that there was nothing to mark."""
    in_map: bool
    """Whether the entry's marks exist only as a map, because the annotator accepted a draft that is a picture."""


def entry_line(image: str, mark: Annotated, **more: object) -> str:
    """Return one entry as a line of the file.

    Args:
        image: the image's id.
        mark: the marks of one annotator on the image.
        more: further keys of `KEYS` with their values.
    """
    height, width = mark.size or (None, None)
    shapes = [shape_to_json(shape) for shape in mark.shapes]
    own = {"image": image, "path": mark.image, "width": width, "height": height, "annotator": mark.annotator}
    return _line({**own, "shapes": shapes, **more})


def write_entries(path: Path, lines: Iterable[str], *, about: Mapping[str, object] | None = None) -> Path:
    """Write a file of entries, whole or not at all, without holding all entries in memory.

    Args:
        path: the file.
        lines: the entries, as `entry_line` returns them.
        about: further keys and values of the file that stand before the entries, such as `study`.

    Returns:
        `path`.
    """
    head = json.dumps({"salign": __version__, **(about or {})}).removesuffix("}")
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{head}, "annotations": [')
        for number, line in enumerate(lines):
            file.write((",\n" if number else "\n") + line)
        file.write("\n]}\n")
    return path


def merge_shapes(path: Path, lines: Mapping[str, Iterable[str]], *, earlier: Path | None) -> None:
    """Write the entries of some images, together with those of other images in an earlier file.

    If there is nothing to write, the file is removed.

    Args:
        path: the file.
        lines: the entries of each image by the image's id; an empty list for an image of which only the map is known.
        earlier: a file of shapes, perhaps the same file. Its entries for images that are not in `lines`, and its
            further keys such as `study`, are written, too.
    """
    entries: list[str] = []
    about: dict[str, object] = {}
    if earlier is not None and earlier.is_file():
        content = read_json(earlier)
        about = {key: field.value for key, field in content.items() if key not in ("salign", "annotations")}
        old = content["annotations"].each()
        entries = [_line(entry.value | _sides(entry)) for entry in old if entry["image"].text() not in lines]
    entries += [line for group in lines.values() for line in group]
    if entries or about:
        write_entries(path, entries, about=about)
    else:
        path.unlink(missing_ok=True)


def read_shapes(path: Path) -> list[Entry]:
    """Read the entries of a file, except those of skipped images.

    Raises:
        SalignError: the file is damaged; the message names the place.
    """
    return [_entry(entry) for entry in read_json(path)["annotations"].each() if entry.get("skipped") is None]


def _entry(entry: Field) -> Entry:
    image, path, who, answer = entry["image"].text(), entry.get("path"), entry.get("annotator"), entry.get("answer")
    shapes = tuple(shape.make(shape_from_json, shape.value) for shape in entry["shapes"].each())
    blank = entry.value.get("blank", not shapes)  # imports of version 0.1 did not write `blank`
    review = entry.value.get("review")
    height, width = _sides(entry).values()
    size = None if height is None or width is None else (height, width)
    name = path.text() if path else image
    return Entry(
        image,
        Annotated(name, size, shapes=shapes, annotator=who.name() if who else None),
        None if answer is None or answer.value == "" else answer.text(),
        locates=review != "reject" and (bool(shapes) or blank is True),
        in_map=review == "accept" and not shapes and blank is not True,
    )


def _sides(entry: Field) -> dict[str, int | None]:
    """Read height and width of an entry; imports of version 0.1 wrote them as `"size": [height, width]`."""
    if (size := entry.get("size")) is not None:
        sides = size.each()
        pair: tuple[int, int] | None = size_of(*sides) if len(sides) == 2 else size.fail("[height, width]")
    else:
        pair = read_size(entry.get("height"), entry.get("width"))
    height, width = pair or (None, None)
    return {"height": height, "width": width}


def _line(entry: Mapping[str, object]) -> str:
    """Return an entry as JSON with its keys in the order of `KEYS`; unknown keys come last, and `size` is dropped."""
    known = {key: entry[key] for key in KEYS if key in entry}
    return json.dumps(known | {key: value for key, value in entry.items() if key not in known and key != "size"})
