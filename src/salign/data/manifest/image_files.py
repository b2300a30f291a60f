"""Which files of a folder are images, and under which name two of them are one: a single rule for all commands.

An image is a visible file with an ending of `SUFFIXES`, or one without an ending that begins as an image does (as
DICOM files often lie about). Links to folders are not followed, and a link that leaves the folder is no image: a link
to a folder above would show every image again under a wrong class. Whatever is passed over is counted and named.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

log = logging.getLogger("salign.data")

SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".j2k", ".avif", ".dcm", ".dicom",
})  # fmt: skip
"""Endings of the images that can be read, in lower case."""

_OTHER_PICTURES = frozenset((".heic", ".heif", ".jxl", ".svg", ".psd", ".raw", ".cr2", ".nef", ".arw", ".dng", ".exr"))
"""Endings that are none of a name either: `x.heic` of a tool may be the `x.jpg` that was made of it."""
_HIDDEN = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_NAMED = 3


def image_files(
    folder: Path, *, skip: Iterable[Path] = (), closed: Callable[[Path], bool] | None = None
) -> Iterator[str]:
    """Every image below a folder by its path relative to it, with `/`: those of a folder before those further down.

    What is passed over is logged as a warning at the end, by its kind, with the first few names.

    Args:
        folder: where to look.
        skip: folders not to look into; nothing is said of them.
        closed: asked of every folder further down: True = do not look into it.
    """
    root = folder.resolve()
    skipped = {path.resolve() for path in skip}
    passed: dict[str, list[str]] = {}
    waiting = [root]
    while waiting:
        here = waiting.pop()
        further: list[Path] = []
        visible = [path for path in sorted(here.iterdir()) if not _is_hidden(path.name)]
        if not visible and here != root:
            passed.setdefault("empty folders", []).append(here.relative_to(root).as_posix())
        for path in visible:
            name = path.relative_to(root).as_posix()
            if path in skipped:
                continue
            if reason := _passed_over(path, root):
                passed.setdefault(reason, []).append(name)
            elif path.is_dir():
                further += [] if closed is not None and closed(path) else [path]
            else:
                yield name
        waiting += reversed(further)
    if passed:
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


def _passed_over(path: Path, root: Path) -> str | None:
    """Why a visible file or folder is not looked at; None if it is."""
    if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root)):
        return "links to folders" if path.is_dir() else "links that leave the folder"
    if path.is_dir():
        return None
    if not path.is_file():
        return "files that are no regular ones"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "names that are not UTF-8"
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
        f"{len(names)} {reason} ({', '.join(map(ascii, names[:_NAMED]))}{', ...' * (len(names) > _NAMED)})"
        for reason, names in sorted(passed.items())
    ]
    return f"passed over, as no image that can be read: {'; '.join(kinds)}"
