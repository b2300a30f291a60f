"""Writing files so that what was there before is never lost: whole, or not at all, a power cut included."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO

from salign.errors import SalignError
from salign.location import refuse_url

LEFTOVERS = ".*.partial"
"""Pattern of what a killed process may leave behind."""


def check_output(path: Path, *, folder: bool = False) -> None:
    """Refuse a place that cannot be written to, before any work is done for it. Nothing is left there.

    Args:
        path: the file that will be written, or replaced; or the folder. Folders above it may be missing.
        folder: whether it is a folder.

    Raises:
        SalignError: there is something of another kind, at `path` or above it, the system lets nobody write there, or
            it is a URL.
    """
    refuse_url(path)
    try:
        existing, kind = _nearest(path)
        if existing == path and not folder and not stat.S_ISDIR(kind):
            if not stat.S_ISREG(kind):
                _refuse(path, "it is neither a file nor a folder, and a file is needed")
            existing = path.parent  # what replaces it is written beside it
        elif not stat.S_ISDIR(kind):
            _refuse(path, f"{'it' if existing == path else existing} is not a folder, and one is needed")
        elif existing == path and not folder:
            _refuse(path, "it is a folder, and a file is needed")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        _refuse(path, error.strerror or str(error))


def _nearest(path: Path) -> tuple[Path, int]:
    """What there is of a path and the folders above it, and the mode of that."""
    for existing in (path, *path.parents):
        try:
            return existing, existing.stat().st_mode
        except NotADirectoryError:
            continue
        except FileNotFoundError:
            if existing.is_symlink():
                _refuse(path, f"{'it' if existing == path else existing} is a link to something that is not there")
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _refuse(path: Path, reason: str) -> NoReturn:
    raise SalignError(f"{path} cannot be written to: {reason}. Give another place, or make room there.")


def cache_folder() -> Path:
    """The user's folder for what can be made again: `$XDG_CACHE_HOME/salign`, else `~/.cache/salign`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "salign"


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """A name beside `path` to write to: moved into place when the block ends, removed when it raises.

    The file is on the disk before it takes its name, and its name is before the block is over. Otherwise a power cut
    could leave the new name on an empty file.

    Args:
        path: the file; its folder is made if need be.
        sync: wait for the disk, some ten milliseconds. False for files that are written by the thousand and that nobody
            takes for whole when they are cut, such as pictures: they are safe from a process that dies, and a power cut
            may leave some of them damaged.

    Raises:
        OSError: it cannot be written; `filename` is `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    short = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]  # a name may already be as long as names can be
    partial = path.with_name(f".{short}.{os.getpid()}.partial")
    try:
        yield partial
        if sync:
            _sync(partial)
        partial.replace(path)
        if sync and os.name == "posix":  # elsewhere a folder cannot be opened
            _sync(path.parent)
    except OSError as error:
        if error.filename in (None, partial, str(partial)):  # a full disk names no file
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all; its lines end alike on every system."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


class _Records:
    """A text file for a `csv.writer` whose records end in CR LF: they end in LF there."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, record: str) -> int:
        return self._file.write(record.removesuffix("\r\n") + "\n")


def write_csv(table: Any, path: Path, *, mode: Literal["w", "a"] = "w", **options: Any) -> None:
    """Write a table of pandas, without its index; its lines end alike on every system.

    A cell with a carriage return is quoted, as one with a line break is: readers take either for the end of a line.

    Args:
        table: a `pandas.DataFrame`.
        path: the file, which is written as it is: see `replacing`.
        mode: "a" appends to it.
        options: further ones of `to_csv`.
    """
    with path.open(mode, encoding="utf-8", newline="") as file:
        # of CR and LF, Python's writer quotes those alone that end a record
        table.to_csv(_Records(file), index=False, lineterminator="\r\n", **options)


def replace_csv(path: Path, table: Any) -> None:
    """Write a table of pandas as CSV, whole or not at all; see `write_csv`."""
    with replacing(path) as partial:
        write_csv(table, partial)


def relative_path(path: Path | str, folder: Path | str) -> str:
    """The way from a folder to a file, with `/` between the steps on every system, as manifests have it."""
    return os.path.relpath(path, folder).replace(os.sep, "/")


def common_folder(*paths: Path) -> Path:
    """The nearest folder above all of these, or one of them itself.

    Args:
        paths: absolute ones.

    Raises:
        SalignError: there is none: on Windows, they lie on different drives.
    """
    try:
        return Path(os.path.commonpath(paths))
    except ValueError as error:
        listed = ", ".join(map(str, paths))
        raise SalignError(
            f"{listed}: these lie on different drives or stores; expected a folder above all of them, which paths of a "
            "manifest are relative to"
        ) from error
