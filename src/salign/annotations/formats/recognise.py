"""Recognising the format of a file by its content, for users who do not know the name of their tool's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from salign.annotations.formats.fields import number_of, read_json, read_rows, read_text
from salign.annotations.formats.xml import root_of

SUFFIXES = (".json", ".xml", ".csv", ".txt", ".npy", ".npz")
"""Endings of the files whose format may be recognised."""
FOLDERS = ("labelme", "voc", "yolo", "arrays")
"""Formats with one file per image: `read` takes the folder of such files."""
_XML = {"annotations": "cvat", "annotation": "voc"}
_COCO, _LABELME, _STUDIO = {"images", "annotations", "categories"}, {"shapes", "imagePath"}, {"data", "annotations"}


def recognise(path: Path) -> str | None:
    """Return the name of a file's format in `ANNOTATION_FORMATS`, or None if it is not recognised.

    A JSON file is recognised by its keys, an XML file by its outermost element, a table by its header, and YOLO's text
    by lines of a class number and shares of width and height. Masks cannot be recognised by their content, since they
    are pictures like others; their folder and their names say that they are masks.

    Raises:
        SalignError: the file cannot be read, or is damaged.
    """
    match path.suffix.lower():
        case ".json":
            return _json(read_json(path).value)
        case ".xml":
            return _XML.get(root_of(path).tag)
        case ".csv":
            return _table(path)
        case ".txt":
            return "yolo" if _is_yolo(read_text(path)) else None
        case ".npy" | ".npz":
            return "arrays"
    return None


def _json(value: Any) -> str | None:
    if isinstance(value, list):
        tasks = [task for task in value[:5] if isinstance(task, dict)]
        return "label-studio" if tasks and all(task.keys() >= _STUDIO for task in tasks) else None
    if not isinstance(value, dict):
        return None
    if value.keys() >= _COCO:
        return "coco"
    if value.keys() >= _LABELME:
        return "labelme"
    files = value.get("_via_img_metadata", value)
    entries = list(files.values())[:5] if isinstance(files, dict) else []
    if entries and all(isinstance(entry, dict) and entry.keys() >= {"filename", "regions"} for entry in entries):
        return "via"
    return None


def _table(path: Path) -> str | None:
    from salign.annotations.formats.box_table import is_box_table

    header = read_rows(path)[:1]
    if not header:
        return None
    names = {cell.lower().lstrip("#") for cell in header[0][1]}
    if names >= {"filename", "region_shape_attributes"}:
        return "via"
    if names >= {"x", "y", "duration"}:
        return "fixations"
    return "boxes" if is_box_table(header[0][1]) else None


def _is_yolo(text: str) -> bool:
    lines = [line.split() for line in text.splitlines()[:20] if line.strip()]
    return bool(lines) and all(
        len(cells) >= 5 and cells[0].isdigit() and all(0 <= number_of(cell) <= 1 for cell in cells[1:5])
        for cells in lines
    )
