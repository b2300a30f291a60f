"""`shapes.json` beside a manifest: the marks behind its maps as they were drawn, by image and annotator.

`{"salign": version, "study": {...}, "annotations": [...]}`, an entry a line with the keys of `KEYS`. The annotation
server and `salign maps import` write the same; what version 0.1 of either wrote is read too.
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
"""Keys of an entry in their order: the image's id and its path below the folder of the images; the size in whose pixels
the shapes are; who, and (server) in which unit; the class, (import) what the tool calls the marks, and (pairs) whether
this image was chosen; the shapes, and whether there was nothing to mark; why it was skipped, or null. The rest is the
server's."""


@dataclass(frozen=True)
class Entry:
    """What one annotator said of one image."""

    image: str
    """The image's id."""
    marks: Annotated
    """By the image's path, where it is said, else by its id."""
    answer: str | None
    """The class; None, or an empty text as earlier imports wrote it, where there is none."""
    locates: bool
    """Whether it says where: it has shapes, or there was nothing to mark."""
    in_map: bool
    """Its marks are in a map alone: a draft was accepted that is a picture."""


def entry_line(image: str, mark: Annotated, **more: object) -> str:
    """One entry as it stands in the file: the marks of one annotator on an image, and further keys of `KEYS`."""
    height, width = mark.size or (None, None)
    shapes = [shape_to_json(shape) for shape in mark.shapes]
    own = {"image": image, "path": mark.image, "width": width, "height": height, "annotator": mark.annotator}
    return _line({**own, "shapes": shapes, **more})


def write_entries(path: Path, lines: Iterable[str], *, about: Mapping[str, object] | None = None) -> Path:
    """Write a file of entries, as `entry_line` gives them, whole or not at all and without holding all of them.

    Args:
        path: the file.
        lines: the entries.
        about: what stands before them by its key, such as `study`.
    """
    head = json.dumps({"salign": __version__, **(about or {})}).removesuffix("}")
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{head}, "annotations": [')
        for number, line in enumerate(lines):
            file.write((",\n" if number else "\n") + line)
        file.write("\n]}\n")
    return path


def merge_shapes(path: Path, lines: Mapping[str, Iterable[str]], *, earlier: Path | None) -> None:
    """Write the entries of some images, by id; without any, there is no file.

    Args:
        path: the file.
        lines: the entries of each image; none where its map is all there is.
        earlier: a file of shapes, perhaps the same: what it says of other images, and of its study, is written too.
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
    """The entries of a file that were not skipped.

    Raises:
        SalignError: the file is damaged; its place is named.
    """
    return [_entry(entry) for entry in read_json(path)["annotations"].each() if entry.get("skipped") is None]


def _entry(entry: Field) -> Entry:
    image, path, who, answer = entry["image"].text(), entry.get("path"), entry.get("annotator"), entry.get("answer")
    shapes = tuple(shape.make(shape_from_json, shape.value) for shape in entry["shapes"].each())
    blank = entry.value.get("blank", not shapes)  # imports of version 0.1 did not say it apart
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
    """Height and width; an import of version 0.1 said `"size": [height, width]`."""
    if (size := entry.get("size")) is not None:
        sides = size.each()
        pair: tuple[int, int] | None = size_of(*sides) if len(sides) == 2 else size.fail("[height, width]")
    else:
        pair = read_size(entry.get("height"), entry.get("width"))
    height, width = pair or (None, None)
    return {"height": height, "width": width}


def _line(entry: Mapping[str, object]) -> str:
    """An entry with its keys in order; any that are not ours come last."""
    known = {key: entry[key] for key in KEYS if key in entry}
    return json.dumps(known | {key: value for key, value in entry.items() if key not in known and key != "size"})
