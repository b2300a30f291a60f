"""Opening a file that a stranger may have made: a regular file of a bounded size, or an error; never a wait."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import time
from io import BufferedReader
from pathlib import Path

from salign.errors import SalignError

MAX_BYTES = 500_000_000
"""A larger file is refused before it is read, unless its reader says otherwise."""

_RACY_SECONDS = 2
"""File systems note times this coarsely, some of them."""
_OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_file(path: Path | str, *, limit: int | None = MAX_BYTES) -> BufferedReader:
    """Open a regular file to read its bytes.

    Args:
        path: the file. Links are followed.
        limit: most bytes that it may have; None = any number.

    Raises:
        SalignError: there is no such file, it is a folder, a pipe, a device or a socket, it is larger than `limit`, or
            it cannot be opened.
    """
    try:
        _check_kind(path, Path(path).stat())
        # A pipe that took the file's place since would make open() wait for a writer: O_NONBLOCK does not.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            state = os.fstat(handle)
            _check_kind(path, state)
            if limit is not None and state.st_size > limit:
                raise SalignError(
                    f"{path}: {_megabytes(state.st_size)}; a file of this kind has at most {_megabytes(limit)}"
                )
            return os.fdopen(handle, "rb")
        except BaseException:
            os.close(handle)
            raise
    except FileNotFoundError:
        raise SalignError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise SalignError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_bytes(path: Path | str, *, limit: int = MAX_BYTES) -> bytes:
    """Read a whole file; see `open_file`."""
    content = bytearray()
    try:
        with open_file(path, limit=limit) as file:
            while part := file.read(1 << 20):
                content += part
                if len(content) > limit:  # files below /proc do not tell their size
                    raise SalignError(f"{path}: a file of this kind has at most {_megabytes(limit)}")
    except OSError as error:
        raise SalignError(f"{path}: cannot be read: {error.strerror or error}") from error
    return bytes(content)


def read_text(path: Path | str, *, limit: int = MAX_BYTES) -> str:
    """Read a whole text file (UTF-8, with or without a mark at its beginning); see `open_file`."""
    try:
        return read_bytes(path, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SalignError(f"{path} is not text in UTF-8: {error}") from error


def _check_kind(path: Path | str, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise SalignError(f"{path} is {_OTHERS.get(stat.S_IFMT(state.st_mode), 'of another kind')}; expected a file")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def known_digest(path: Path | str) -> str:
    """The `file_digest` of a file, which is read once: a later call reads it again only if it has changed since.

    A file that was changed in the last seconds is always read: another change may leave its size and time as they are.
    """
    size, modified, changed = file_state(path)
    if abs(time.time() - modified / 1e9) < _RACY_SECONDS:
        return file_digest(path)
    return _digest_of(str(path), size, modified, changed)


def file_state(path: Path | str) -> tuple[int, int, int]:
    """Bytes of a file, and nanoseconds from 1970 to its last change and to that of what the system notes of it.

    Raises:
        SalignError: there is no such file, or it cannot be looked at.
    """
    try:
        state = Path(path).stat()
    except FileNotFoundError:
        raise SalignError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
        raise SalignError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


@functools.lru_cache(maxsize=1024)
def _digest_of(path: str, *state: int) -> str:
    return file_digest(path)


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits; the file may be of any size.

    Raises:
        SalignError: as `open_file`.
    """
    try:
        with open_file(path, limit=None) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SalignError(f"{path}: cannot be read: {error.strerror or error}") from error
