"""The rules, the same for all commands, for which files of a folder are images, and when two names are the same name.

An image is a visible file with an ending in `SUFFIXES`, or a visible file without an ending whose first bytes are
those of an image (DICOM files often have no ending). The files of a tool are the visible files with the tool's ending.
Links to folders and links that lead out of the folder are not followed, because a link to a folder above would show
every image again under a wrong class. Folders that salign wrote among the images (maps, runs, pages, annotations) are
not searched, because they hold pictures that are not the user's images. What is passed over is counted and named.
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
"""Endings of pictures that salign cannot read. `stem` removes them, too, because the file that a tool calls `x.heic`
may be the image `x.jpg` that was made from it."""
_HIDDEN = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
OURS = "folders that salign wrote"
"""The kind under which folders that salign wrote are listed when they are passed over."""
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_NAMED = 3


def image_files(
    folder: Path,
    *,
    skip: Iterable[Path] = (),
    closed: Callable[[Path], bool] | None = None,
    passed: dict[str, list[str]] | None = None,
) -> Iterator[str]:
    """Yield every image below a folder as its path relative to that folder, with `/` between the parts.

    The images in a folder come before those in its subfolders. At the end, a warning is logged that lists by kind what
    was passed over, with the first few names of each kind.

    Args:
        folder: where to look.
        skip: folders that are not searched and not mentioned in the warning.
        closed: called with every subfolder; it is not searched if the answer is True.
        passed: receives the names of what is passed over, by kind; the warning is then not logged.

    Raises:
        SalignError: the folder cannot be read.
    """
    return _walk(folder, _is_no_image, skip=skip, closed=closed, passed=passed)


def files_below(folder: Path, suffix: str) -> list[Path]:
    """Return all files with a given ending in a folder and its subfolders, sorted.

    The ending may be in upper or lower case. Files with other endings are not mentioned in the warning about what was
    passed over, because they belong to something else.

    Args:
        folder: where to look.
        suffix: the ending in lower case, with its dot.

    Raises:
        SalignError: the folder cannot be read.
    """

    def other(path: Path) -> str | None:
        return None if path.suffix.lower() == suffix else ""

    return sorted(folder / name for name in _walk(folder, other))


def is_ours(folder: Path) -> bool:
    """Return whether salign wrote a folder: annotations, a study, a run, or maps of people or of a machine.

    The answer depends on files in the folder or beside it, and never on the folder's name alone, because a class may be
    called `machine`.
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
    """Return whether a manifest beside a folder, as `salign maps` writes it, names maps in the folder but no images."""
    name = "*" if folder.name in ("maps", "annotators") else glob.escape(folder.name)
    tables = [path for suffix in (".csv", ".parquet") for path in folder.parent.glob(name + suffix) if path.is_file()]
    for path in tables:
        from salign.data.manifest.text_table import header_of, read_table  # most folders need no table to be read

        try:
            if path.suffix == ".csv" and not {"path", "saliency"}.issubset(header_of(path)):
                continue
            table, _ = read_table(path)
        except (SalignError, ValueError, OSError):
            continue  # the command that needs the table reports what is wrong with it
        inside = {column: _names_in(folder, table[column]) for column in map_columns(table) if column in table}
        if any(inside.values()) and "path" in table and not _names_in(folder, table["path"]):
            return True
    return False


def _names_in(folder: Path, names: Iterable[object]) -> bool:
    """Return whether a path of a manifest, relative to the manifest's root, has a folder with the name of `folder`."""
    return any(isinstance(name, str) and folder.name in name.split("/")[:-1] for name in names)


def no_image(folder: Path | str) -> SalignError:
    """Return the error for a folder without any image."""
    return SalignError(f"{folder}: found no image; expected files that end in {', '.join(sorted(SUFFIXES))}")


def check_images(images: Path, maps: Path | None = None) -> None:
    """Check, before any work is done, that there are images and that maps would not be written among them.

    Args:
        images: a folder of images, or a single image.
        maps: the folder that maps of the images will be written to; None = no maps are written.

    Raises:
        SalignError: there is no image, the single image cannot be read, or the maps would lie among the images.
    """
    if not images.exists():
        raise SalignError(f"{images}: no such folder or image.")
    if images.is_file():
        from salign.data.reading.image import image_size  # the images of a folder are checked when they are read

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
    """Yield the wanted files in a folder and its subfolders, as paths relative to the folder.

    `unwanted` returns None for a wanted file, the reason why any other file is passed over, or "" if the reason is not
    to be mentioned. The other arguments are those of `image_files`.
    """
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
    """Return a path without its ending if that is the ending of a picture; `scan.v2` and `1.2.840` are not changed."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in SUFFIXES | _OTHER_PICTURES else name


def same_name(name: str) -> str:
    """Return the form in which names are compared (Unicode NFC): `é` as one code point or as two is the same name."""
    return unicodedata.normalize("NFC", name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _HIDDEN


def _real(path: Path) -> Path:
    """Return a path with its links resolved; a path through a link to itself, where `Path.resolve` fails, is kept."""
    return Path(os.path.realpath(path))


def _passed_over(path: Path, root: Path) -> str | None:
    """Return why a visible file or folder is passed over, or None if it is not."""
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
    """Return why a regular file is not an image, or None if it is one."""
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
