"""Writing of files whole or not at all, even in a power cut, so that the file that was there before is never lost."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO

from salign.errors import SalignError
from salign.location import refuse_url

LEFTOVERS = ".*.partial"
"""Pattern of the half-written files that a killed process may leave behind."""


def check_output(path: Path, *, folder: bool = False) -> None:
    """Refuse a path that cannot be written to, before any work is done for it. The check leaves nothing there.

    Args:
        path: the file that will be written or replaced, or the folder. Folders above it may be missing.
        folder: whether `path` is a folder.

    Raises:
        SalignError: something of another kind lies at `path` or above it, the system does not allow writing there, or
            `path` is a URL.
    """
    refuse_url(path)
    try:
        existing, kind = _nearest(path)
        if existing == path and not folder and not stat.S_ISDIR(kind):
            if not stat.S_ISREG(kind):
                _refuse(path, "it is neither a file nor a folder, and a file is needed")
            existing = path.parent  # a file is replaced by one that is written beside it
        elif not stat.S_ISDIR(kind):
            _refuse(path, f"{'it' if existing == path else existing} is not a folder, and one is needed")
        elif existing == path and not folder:
            _refuse(path, "it is a folder, and a file is needed")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        _refuse(path, error.strerror or str(error))


def _nearest(path: Path) -> tuple[Path, int]:
    """Return the nearest that exists of a path and the folders above it, and its mode."""
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
    """Return the user's folder for files that can be made again: `$XDG_CACHE_HOME/salign`, else `~/.cache/salign`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "salign"


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it is moved to `path` when the block ends, and removed if it raises.

    The content is on the disk before the file takes its name, and the name is on the disk before the block is over.
    Otherwise a power cut could leave the new name on an empty file.

    Args:
        path: the file to write; its folder is made if it is missing.
        sync: whether to wait for the disk, which takes some ten milliseconds. False suits files that are written by the
            thousand and in which damage is noticed, such as pictures: they are whole if a process dies, but a power cut
            may damage some of them.

    Yields:
        The path to write to.

    Raises:
        OSError: the file cannot be written; `filename` of the error is `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    short = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]  # the name may be as long as names can be already
    partial = path.with_name(f".{short}.{os.getpid()}.partial")
    try:
        yield partial
        if sync:
            _sync(partial)
        partial.replace(path)
        if sync and os.name == "posix":  # Windows cannot open a folder
            _sync(path.parent)
    except OSError as error:
        if error.filename in (None, partial, str(partial)):  # the error of a full disk names no file
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path, partial: Path) -> Iterator[None]:
    """Move a folder that was written beside `folder` into its place for a block, which may still refuse it.

    If the move fails or the block raises, both folders are again where they were. Otherwise the replaced folder is
    deleted.

    Args:
        folder: the folder to replace; it may be missing.
        partial: the folder that takes its place.
    """
    earlier = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(earlier)
    try:
        partial.rename(folder)
        try:
            yield
        except BaseException:
            folder.rename(partial)
            raise
    except BaseException:
        if earlier.exists():
            earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all; its lines end in LF on every system."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


class _Records:
    """A text file that takes the records of a `csv.writer` that end in CR LF, and ends them in LF instead."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, record: str) -> int:
        return self._file.write(record.removesuffix("\r\n") + "\n")


def write_csv(table: Any, path: Path, *, mode: Literal["w", "a"] = "w", **options: Any) -> None:
    """Write a table of pandas as CSV without its index; its lines end in LF on every system.

    A cell with a carriage return is quoted, as a cell with a line feed is, because readers take either for the end of a
    line.

    Args:
        table: a `pandas.DataFrame`.
        path: the file, which is written in place; `replace_csv` writes it whole or not at all.
        mode: "w" writes the file anew, "a" appends to it.
        options: further options of `to_csv`.
    """
    with path.open(mode, encoding="utf-8", newline="") as file:
        # Python's writer quotes a CR or LF in a cell only if the line terminator has it, so CR LF is given here
        table.to_csv(_Records(file), index=False, lineterminator="\r\n", **options)


def replace_csv(path: Path, table: Any) -> None:
    """Write a table of pandas as CSV, whole or not at all; see `write_csv`."""
    with replacing(path) as partial:
        write_csv(table, partial)


def relative_path(path: Path | str, folder: Path | str) -> str:
    """Return the path of a file relative to a folder, with `/` as separator on every system, as manifests have it."""
    return os.path.relpath(path, folder).replace(os.sep, "/")


def common_folder(*paths: Path) -> Path:
    """Return the deepest folder that all paths lie in; it may be one of the paths itself.

    Args:
        paths: absolute paths.

    Raises:
        SalignError: there is no such folder, because the paths lie on different drives of Windows.
    """
    try:
        return Path(os.path.commonpath(paths))
    except ValueError as error:
        listed = ", ".join(map(str, paths))
        raise SalignError(
            f"{listed}: these lie on different drives or stores; expected a folder above all of them, which paths of a "
            "manifest are relative to"
        ) from error
