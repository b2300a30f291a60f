"""Find what lies in a folder of images: images, maps, tables, files of annotation tools, and files not used."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from salign.annotations.formats.fields import check_separator
from salign.annotations.formats.recognise import FOLDERS, SUFFIXES, recognise
from salign.annotations.formats.yolo import NAMES
from salign.annotations.match import IMAGE_FOLDERS, Images
from salign.data.manifest.folder_layout import Layout, folder_layout, splits_by_role
from salign.data.manifest.image_files import OURS, image_files, no_image, stem
from salign.data.manifest.text_table import header_of
from salign.errors import SalignError
from salign.project.names import MANIFEST, RECIPE, STUDY
from salign.project.pictures import Maps, sort_pictures
from salign.project.tables import LabelTable, put_together, read_label_table

_NUMBERED = re.compile(r"(?P<name>.*?[^\W\d_])[\W_]*\d+\D*")
"""Matches a file name that ends in a number: `benign (12)`, `cat.7`."""
_FEW = 0.2


@dataclass(frozen=True)
class Tool:
    """Files that an annotation tool wrote."""

    format: str
    """Name of the format in `ANNOTATION_FORMATS`."""
    path: Path
    """The file; for a format with a file for each image, the folder of the files."""
    files: int
    """Number of files."""


@dataclass(frozen=True)
class Look:
    """Everything that was found in a folder; paths are relative to it."""

    folder: Path
    images: Sequence[str]
    maps: Sequence[Maps]
    tables: Sequence[LabelTable]
    tools: Sequence[Tool]
    by_folder: Mapping[str, str]
    """Image -> class, where its folders tell it: the inner folder, where `outer` has another."""
    splits: Mapping[str, str]
    """Image -> split, where its folders tell it."""
    outer: Mapping[str, str]
    """Image -> outer folder, where folders of one name lie in several others and no name says which are classes."""
    by_name: Mapping[str, str]
    """Image -> the beginning of its name; empty unless all names end in a number and have 2 to 20 beginnings."""
    useless: Sequence[str]
    """Sentences about files, columns and rows that are not used."""


def look(folder: Path) -> Look:
    """Look at every file of a folder.

    Raises:
        SalignError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise SalignError(f"{folder} {what}; expected the folder of your images")
    passed: dict[str, list[str]] = {}
    pictures = list(image_files(folder, passed=passed))
    passed.pop(OURS, None)
    if not pictures:
        listing = ", ".join(f"{len(names)} {kind}" for kind, names in passed.items())
        hint = f"; there are {listing}: unpack archives, and convert other pictures to PNG or JPEG" if listing else ""
        raise SalignError(f"{no_image(folder)}{hint}")
    images, maps = sort_pictures(folder, pictures)
    useless = [
        f"{len(lonely)} pictures in {kind} have the name of no image, first {lonely[0]}"
        for kind, _, lonely, _ in maps
        if lonely
    ]
    known, tables, tools, files = Images(images), [], [], dict[tuple[str, str], list[str]]()
    unknown = {name for kind in passed.values() for name in kind}
    for name in sorted(unknown):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in SUFFIXES or name == MANIFEST:
            continue
        table = None
        try:
            if suffix == ".csv":
                check_separator(folder / name, header_of(folder / name))
            kind = recognise(folder / name)
            if suffix == ".csv" and kind != "via":
                table = read_label_table(folder, name, known, guess=kind is None)
        except SalignError as error:
            useless.append(str(error).splitlines()[0].replace(f"{folder}{os.sep}", ""))
            unknown.discard(name)
            continue
        if table is not None:
            tables.append(table)
            useless += table.ignored
            if kind is None and table.strange:  # for a tool's file, the importer reports such names
                count, first = len(table.strange), table.strange[0]
                useless.append(f"{name}: rows of {count} names that no image here has, or several have; first {first}")
        if kind is not None:
            files.setdefault((kind, name if kind not in FOLDERS else ""), []).append(name)
        if table is None and kind is None and suffix == ".csv":
            useless.append(f"{name}: no column has the names of images here; write them as {images[0]}")
        elif table is None and kind is None:
            continue
        unknown.discard(name)
    for (kind, name), members in files.items():
        above = posixpath.commonpath([str(PurePosixPath(member).parent) for member in members])
        tools.append(Tool(kind, folder / (name or above), len(members)))
    if ("yolo", "") in files:
        unknown = {name for name in unknown if PurePosixPath(name).name not in NAMES}
    unknown -= {MANIFEST, STUDY, RECIPE} | {name for name in unknown if name.startswith("manifest")}
    if unknown:
        kinds = Counter(PurePosixPath(name).suffix or PurePosixPath(name).name for name in unknown)
        first = ", ".join(sorted(unknown)[:3]) + ", ..." * (len(unknown) > 3)
        useless.append(f"{', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}: {first}")
    named = {path for table in tables for path in table.maps}
    images = [path for path in images if path not in named]
    maps = [pictured for pictured in maps if not named.issuperset(pictured.images)]
    by_folder, splits, stray = _said_by_folders(images)
    outer: Mapping[str, str] = {}
    if not any(splits_by_role(splits.values()).values()):
        splits, outer = {}, splits
    if stray:
        useless.append(f"{len(stray)} images lie outside of the folders of the classes, first {stray[0]}")
    names = _said_by_names(images)
    return Look(folder, images, maps, put_together(tables), tools, by_folder, splits, outer, names, useless)


def _said_by_folders(images: Sequence[str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Return the class and the split of each image by its folders, and the images outside of the folders of classes.

    Folders with names such as `images`, and folders that contain all images, are ignored.
    """
    short = {}
    for path in images:
        *above, name = path.split("/")
        short[path] = "/".join([*(part for part in above if part.lower() not in IMAGE_FOLDERS), name])
    stray = [path for path in images if "/" not in short[path]]
    if not stray or len(stray) > _FEW * len(images):
        inside = list(images)
        stray = []
    else:
        inside = [path for path in images if "/" in short[path]]
    while len({short[path].split("/")[0] for path in inside}) == 1 and all("/" in short[path] for path in inside):
        short |= {path: short[path].split("/", 1)[1] for path in inside}
    layout: Layout = folder_layout([short[path] for path in inside])
    labels = {path: label for path in inside if (label := layout.label_of(short[path])) is not None}
    splits = {path: split for path in inside if (split := layout.split_of(short[path])) is not None}
    return labels, splits, stray if labels else []


def _said_by_names(images: Sequence[str]) -> dict[str, str]:
    matches = {path: _NUMBERED.fullmatch(stem(path.rpartition("/")[2])) for path in images}
    names = {path: match["name"] for path, match in matches.items() if match}
    counts = Counter(names.values())
    return names if len(names) == len(images) and 2 <= len(counts) <= 20 and min(counts.values()) > 1 else {}
