"""Names of the files that are written for images and people: readable where they can be, and never one for two."""

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
"""Names that Windows gives to no file or folder."""


class Part(NamedTuple):
    """Some of the images of a folder that stand together in its order."""

    first: int
    """How many images of the folder come before them."""
    files: list[tuple[str, str]]
    """Path of each, and the name of its picture, as `picture_names` gives them."""


def shapes_file(manifest: Path) -> Path:
    """Where the shapes of a manifest are: `shapes.json` beside `manifest.csv`, `NAME-shapes.json` beside `NAME.csv`."""
    return manifest.with_name("shapes.json" if manifest.stem == "manifest" else f"{manifest.stem}-shapes.json")


def picture_names(images: Path) -> Iterator[tuple[str, str]]:
    """Every image of a folder in the order of `image_files`, or the one image, with the name of a PNG made of it.

    Args:
        images: folder, searched to the bottom, or a file.
    """
    return output_names(image_files(images) if images.is_dir() else [images.name], ".png")


def output_names(paths: Iterable[str], ending: str) -> Iterator[tuple[str, str]]:
    """The name of the file that is written for each image, below the folder it is written to.

    `a/x.jpg` gives `a/x.png` where no other image of the folder has the stem `x`, else `a/x.jpg.png`. Names that are
    one to a file system that ignores case, or that takes `é` in one code point or two for the same, are told apart by
    a digest.

    Args:
        paths: paths of images, relative; those of a folder stand together, as `image_files` gives them.
        ending: ending of the files, e.g. `.png`.

    Yields:
        path, and the name for it.
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
    """Names as parts of file names and of columns, different even without case.

    A name that is plain stays as it is, any other is told apart by a digest. Plain is what has letters of ASCII,
    digits, `_`, `.` and `-`, at most 60 of them, is no name that Windows keeps for a device, and does not end as the
    column of provenance beside a column does. The ending of a picture is left out.

    Args:
        names: different ones.
        reserved: parts that none may have, lower case.
        known: parts that were given before: one of them may come again, and none that differs from it by case alone.
    """
    parts: list[str] = []
    used = {part.lower(): part for part in known} | dict.fromkeys(reserved, "")

    def clashes(part: str) -> bool:
        return used.get(part.lower(), part) != part

    for name in names:
        part = _slug(stem(name))
        if clashes(part):
            part = _marked(part, name)
        while clashes(part):  # somebody is called as another one was marked
            part += "_"
        used[part.lower()] = ""
        parts.append(part)
    return parts


def parts_of_people(people: Iterable[str | None], columns: Iterable[object] = ()) -> dict[str | None, str]:
    """The part of file names and of columns (`saliency_<part>`) that stands for each person.

    Args:
        people: names, and None for whoever has none (`unknown`); none of them is called `all`, as everybody's maps are.
        columns: those of the manifest into which they go: a person who has one there keeps it.
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
    """Equal for two names that some file system takes for one: it ignores case, or the form of Unicode."""
    return same_name(name).casefold()


def _marked(name: str, whole: str | None = None) -> str:
    return f"{name}-{hashlib.sha256((whole or name).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
