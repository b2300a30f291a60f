"""Which files of a folder are looked at, and under which name two of them are one: a single rule for all commands.

An image is a visible file with an ending of `SUFFIXES`, or one without an ending that begins as an image does (as
DICOM files often lie about). A tool's files are the visible ones with its ending. Links to folders are not followed,
and a link that leaves the folder is not looked at: a link to a folder above would show every image again under a wrong
class. Nor are folders looked into that salign wrote among the images: maps, runs, pages and annotations hold pictures,
and none of them is one of the user's. Whatever is passed over is counted and named.
"""

from __future__ import annotations

import glob
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from salign.data.manifest.provenance import map_columns
from salign.errors import SalignError

log = logging.getLogger("salign.data")

SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".j2k", ".avif", ".dcm", ".dicom",
})  # fmt: skip
"""Endings of the images that can be read, in lower case."""

_OTHER_PICTURES = frozenset((".heic", ".heif", ".jxl", ".svg", ".psd", ".raw", ".cr2", ".nef", ".arw", ".dng", ".exr"))
"""Endings that are none of a name either: `x.heic` of a tool may be the `x.jpg` that was made of it."""
_HIDDEN = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
OURS = "folders that salign wrote"
"""The kind under which such folders are passed over."""
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_NAMED = 3


def image_files(
    folder: Path,
    *,
    skip: Iterable[Path] = (),
    closed: Callable[[Path], bool] | None = None,
    passed: dict[str, list[str]] | None = None,
) -> Iterator[str]:
    """Every image below a folder by its path relative to it, with `/`: those of a folder before those further down.

    What is passed over is logged as a warning at the end, by its kind, with the first few names.

    Args:
        folder: where to look.
        skip: folders not to look into; nothing is said of them.
        closed: asked of every folder further down: True = do not look into it.
        passed: takes the names of what is passed over, by its kind, instead of the warning.
    """
    return _walk(folder, _is_no_image, skip=skip, closed=closed, passed=passed)


def files_below(folder: Path, suffix: str) -> list[Path]:
    """Every file of a folder and the folders below with this ending, in small letters or capitals, sorted.

    Files with other endings are those of somebody else, and nothing is said of them.

    Args:
        folder: where to look.
        suffix: the ending, in small letters, with its dot.
    """

    def other(path: Path) -> str | None:
        return None if path.suffix.lower() == suffix else ""

    return sorted(folder / name for name in _walk(folder, other))


def is_ours(folder: Path) -> bool:
    """Whether salign wrote a folder: annotations, a study, a run, or maps of people or of a machine.

    Files that lie in it or beside it say so and never its name alone, since a class may be called `machine`.
    """
    if (folder / "annotations.db").is_file() or (folder / "question.json").is_file():
        return True
    if (folder / "recipe.yaml").is_file() and (folder / "environment.json").is_file():
        return True
    beside = {"maps": "shapes.json", "annotators": "shapes.json", "machine": "machine.csv"}.get(folder.name)
    if beside is not None and folder.with_name(beside).is_file():
        return True
    return (folder.name == "imported" and (folder / "maps").is_dir()) or _has_maps_of_a_manifest(folder)


def _has_maps_of_a_manifest(folder: Path) -> bool:
    """Whether a manifest beside a folder names maps in it, where `salign maps` writes them, and no images."""
    name = "*" if folder.name in ("maps", "annotators") else glob.escape(folder.name)
    tables = [path for suffix in (".csv", ".parquet") for path in folder.parent.glob(name + suffix) if path.is_file()]
    for path in tables:
        from salign.data.manifest.text_table import header_of, read_table  # of most folders no table is read

        try:
            if path.suffix == ".csv" and not {"path", "saliency"}.issubset(header_of(path)):
                continue
            table, _ = read_table(path)
        except (SalignError, ValueError, OSError):
            continue  # whoever needs the table says what is wrong with it
        inside = {column: _names_in(folder, table[column]) for column in map_columns(table) if column in table}
        if any(inside.values()) and "path" in table and not _names_in(folder, table["path"]):
            return True
    return False


def _names_in(folder: Path, names: Iterable[object]) -> bool:
    """Whether one of the names of a manifest, which begin at its root, has the name of a folder on its way."""
    return any(isinstance(name, str) and folder.name in name.split("/")[:-1] for name in names)


def no_image(folder: Path | str) -> SalignError:
    """The error for a folder without any image."""
    return SalignError(f"{folder}: found no image; expected files that end in {', '.join(sorted(SUFFIXES))}")


def check_images(images: Path, maps: Path | None = None) -> None:
    """Refuse a folder without images, before anything is made of them.

    Args:
        images: a folder, or one image.
        maps: where maps of the images will be written; None = nowhere.

    Raises:
        SalignError: no image is there, the one image cannot be read, or the maps would lie among the images.
    """
    if not images.exists():
        raise SalignError(f"{images}: no such folder or image.")
    if images.is_file():
        from salign.data.reading.image import image_size  # of a folder, each image is told of when it is read

        image_size(images)
    root = images if images.is_dir() else images.parent
    if maps is not None and maps.resolve().is_relative_to(root.resolve()):
        raise SalignError(f"{maps}: maps would lie among the images, or replace them; choose a folder outside {root}.")
    if images.is_dir() and next(image_files(images), None) is None:
        raise no_image(images)


def _walk(
    folder: Path,
    unwanted: Callable[[Path], str | None],
    *,
    skip: Iterable[Path] = (),
    closed: Callable[[Path], bool] | None = None,
    passed: dict[str, list[str]] | None = None,
) -> Iterator[str]:
    """Go through a folder and the folders below; `unwanted` says why a file is none, "" = and nothing is said of it."""
    root = _real(folder)
    skipped = {_real(path) for path in skip}
    silent = passed is not None
    passed = {} if passed is None else passed
    waiting = [root]
    while waiting:
        here = waiting.pop()
        further: list[Path] = []
        try:
            visible = [path for path in sorted(here.iterdir()) if not _is_hidden(path.name)]
        except OSError as error:
            if here == root:
                raise SalignError(f"{folder}: the folder cannot be read: {error.strerror}") from error
            passed.setdefault("folders that cannot be read", []).append(here.relative_to(root).as_posix())
            continue
        if not visible and here != root:
            passed.setdefault("empty folders", []).append(here.relative_to(root).as_posix())
        for path in visible:
            name = path.relative_to(root).as_posix()
            if path in skipped:
                continue
            try:
                reason = _passed_over(path, root)
            except OSError:
                reason = "files that cannot be looked at"
            if reason is None and path.is_dir():
                further += [] if closed is not None and closed(path) else [path]
            elif reason is None and (reason := unwanted(path)) is None:
                yield name
            elif reason:
                passed.setdefault(reason, []).append(name)
        waiting += reversed(further)
    if passed and not silent:
        log.warning("%s: %s", folder, _said(passed))


def stem(name: str) -> str:
    """A path without the ending of a picture; `scan.v2` and `1.2.840` have none and stay as they are."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in SUFFIXES | _OTHER_PICTURES else name


def same_name(name: str) -> str:
    """The form in which names are compared: `é` in one code point or in two is one name (Unicode NFC)."""
    return unicodedata.normalize("NFC", name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _HIDDEN


def _real(path: Path) -> Path:
    """A path without links; one through a link to itself stays as it is, where `Path.resolve` fails."""
    return Path(os.path.realpath(path))


def _passed_over(path: Path, root: Path) -> str | None:
    """Why a visible file or folder is not looked at; None if it is."""
    if path.is_symlink() and (path.is_dir() or not _real(path).is_relative_to(root)):
        return "links to folders" if path.is_dir() else "links that leave the folder"
    if path.is_dir():
        return OURS if is_ours(path) else None
    if not path.is_file():
        return "files that are no regular ones"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "names that are not UTF-8"
    return None


def _is_no_image(path: Path) -> str | None:
    """Why a regular file is no image; None if it is one."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return None
    if suffix and not suffix[1:].isdigit():
        return f"*{suffix}"
    return None if _begins_as_image(path) else "files without an ending"


def _begins_as_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head.startswith(_BEGINNINGS) or head[128:] == b"DICM" or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _said(passed: dict[str, list[str]]) -> str:
    kinds = [
        f"{len(names)} {reason} ({', '.join(map(repr, names[:_NAMED]))}{', ...' * (len(names) > _NAMED)})"
        for reason, names in sorted(passed.items())
    ]
    return f"passed over: {'; '.join(kinds)}"
