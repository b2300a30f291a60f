"""Names of the files that are written for images and people: readable where possible, and never the same for two."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from salign.data.manifest.image_files import image_files, same_name, stem
from salign.data.manifest.provenance import ONE_PERSON, PROVENANCE

_MOST = 60
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
"""Names that Windows reserves for devices, so that no file or folder can have them."""


class Part(NamedTuple):
    """Consecutive images of a folder, in the order of `picture_names`."""

    first: int
    """How many images of the folder come before this part."""
    files: list[tuple[str, str]]
    """The path of each image and the name of its picture, as `picture_names` gives them."""


def shapes_file(manifest: Path) -> Path:
    """Return the file of a manifest's shapes: `shapes.json` for `manifest.csv`, `NAME-shapes.json` for `NAME.csv`."""
    return manifest.with_name("shapes.json" if manifest.stem == "manifest" else f"{manifest.stem}-shapes.json")


def picture_names(images: Path) -> Iterator[tuple[str, str]]:
    """Yield every image of a folder, in the order of `image_files`, with the name of the PNG file made from it.

    Args:
        images: a folder, which is searched with all its subfolders, or a single image.

    Yields:
        The path of an image relative to the folder (of a single image, its name), and the name of the PNG file.
    """
    return output_names(image_files(images) if images.is_dir() else [images.name], ".png")


def output_names(paths: Iterable[str], ending: str) -> Iterator[tuple[str, str]]:
    """Yield each image with the name of the file that is written for it, relative to the folder of the output.

    `a/x.jpg` gives `a/x.png` if no other image of its folder has the stem `x`, else `a/x.jpg.png`. A digest tells names
    apart that are the same to a file system which ignores case, or which takes `é` as one code point and as two for the
    same name.

    Args:
        paths: relative paths of images; the images of a folder are consecutive, as `image_files` gives them.
        ending: ending of the written files, e.g. `.png`.

    Yields:
        The path of an image, and the name of the file for it.
    """
    folders: dict[str, str] = {}
    for folder, inside in itertools.groupby(paths, lambda path: str(PurePosixPath(path).parent)):
        group = list(inside)
        directory = folder if folders.setdefault(file_key(folder), folder) == folder else _marked(folder)
        stems = Counter(file_key(stem(path)) for path in group)
        used: set[str] = set()
        for path in group:
            name = PurePosixPath(stem(path) if stems[file_key(stem(path))] == 1 else path).name
            if file_key(name) in used:
                name = _marked(name)
            used.add(file_key(name))
            yield path, str(PurePosixPath(directory, f"{name}{ending}"))


def slugs(names: Sequence[str], reserved: Set[str] = frozenset(), known: Iterable[str] = ()) -> list[str]:
    """Turn names into parts of file names and of column names, which differ even if case is ignored.

    The ending of a picture is removed first. A plain name then stays as it is, and any other name gets a digest. A name
    is plain if it consists of at most 60 ASCII letters, digits, `_`, `.` and `-`, has no dot at its start or end and no
    two dots in a row, is not reserved by Windows for a device, and does not end like the name of a column of
    provenance.

    Args:
        names: names, each of them different.
        reserved: parts that no name may get, in lower case.
        known: parts that were given out before. A name may get one of them again, but no part that differs from one of
            them by case alone.
    """
    parts: list[str] = []
    used = {part.lower(): part for part in known} | dict.fromkeys(reserved, "")

    def clashes(part: str) -> bool:
        return used.get(part.lower(), part) != part

    for name in names:
        part = _slug(stem(name))
        if clashes(part):
            part = _marked(part, name)
        while clashes(part):  # another name is the same as this name with its digest
            part += "_"
        used[part.lower()] = ""
        parts.append(part)
    return parts


def parts_of_people(people: Iterable[str | None], columns: Iterable[object] = ()) -> dict[str | None, str]:
    """Return the part of file names and of column names (`saliency_<part>`) that stands for each person.

    Args:
        people: names of people, and None for people without a name (`unknown`). Nobody gets the part `all`, which
            stands for the maps of everybody.
        columns: the columns of the manifest that the maps go into; a person who has a column there keeps its name.
    """
    names = list(dict.fromkeys(people))
    known = [name.removeprefix(ONE_PERSON) for name in map(str, columns) if name.startswith(ONE_PERSON)]
    return dict(zip(names, slugs([who or "unknown" for who in names], {"all"}, known), strict=True))


def _slug(name: str) -> str:
    name = name or "unknown"
    plain = re.sub(r"[^A-Za-z0-9_.-]+|\.\.+", "_", name).strip(".")[:_MOST]
    lower = plain.lower()
    means_else = lower.split(".")[0] in _DEVICES or lower == PROVENANCE or lower.endswith(f"_{PROVENANCE}")
    return _marked(plain, name) if plain != name or means_else else plain


def file_key(name: str) -> str:
    """Return a key that is equal for names that are the same to a file system that ignores case or Unicode's forms."""
    return same_name(name).casefold()


def _marked(name: str, whole: str | None = None) -> str:
    return f"{name}-{hashlib.sha256((whole or name).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
