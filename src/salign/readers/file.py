"""Opening a file that a stranger may have made: a regular file of a bounded size, or an error; never a wait."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path

from salign.errors import SalignError
from salign.location import (
    TAR_BLOCK,
    Member,
    is_remote,
    member_of,
    open_remote,
    read_range,
    remote_state,
)

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


def open_file(path: Path | str, *, limit: int | None = MAX_BYTES) -> BufferedReader | BytesIO:
    """Open a regular file to read its bytes, a file behind a URL, or a part of a shard (see `salign.location`).

    Args:
        path: the file. Links are followed.
        limit: most bytes that it may have; None = any number.

    Raises:
        SalignError: there is no such file, it is a folder, a pipe, a device or a socket, it is larger than `limit`, or
            it cannot be opened. Of a part of a shard: the shard was cut, or holds something else there.
    """
    if (member := member_of(path)) is not None:
        _check_size(path, member.size, limit)
        return BytesIO(_member_bytes(member))
    if is_remote(path):
        _check_size(path, remote_state(path)[0], limit)
        return open_remote(path)
    with _explained(path):
        _check_kind(path, Path(path).stat())
        # A pipe that took the file's place since would make open() wait for a writer: O_NONBLOCK does not.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            state = os.fstat(handle)
            _check_kind(path, state)
            _check_size(path, state.st_size, limit)
            return os.fdopen(handle, "rb")
        except BaseException:
            os.close(handle)
            raise


def _check_size(path: Path | str, size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise SalignError(f"{path}: {_megabytes(size)}; a file of this kind has at most {_megabytes(limit)}")


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    """What the system says against a file, in words."""
    try:
        yield
    except FileNotFoundError:
        raise SalignError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise SalignError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _member_bytes(member: Member) -> bytes:
    """The bytes of a part of a shard, if the header in front of them names it."""
    start, end = member.offset - TAR_BLOCK, member.offset + member.size
    if is_remote(member.shard):
        content = read_range(member.shard, start, end)
    else:
        with open_file(member.shard, limit=None) as file, _explained(member.shard):
            file.seek(start)
            content = file.read(end - start)
    if len(content) < end - start:
        raise SalignError(
            f"{member.shard}: the shard was cut: it ends before the {end:,} bytes that {member.name} needs. Copy it "
            "again, or make the shards anew with salign data shard."
        )
    name, size = content[:100].rstrip(b"\0").decode("utf-8", "replace"), content[124:135]
    if name != member.name or size != b"%011o" % member.size:
        raise SalignError(
            f"{member.shard}: the shard was changed since its rows were listed: {member.name} is not where they say, "
            f"at byte {member.offset:,}. Bring the shard and its manifest from the same folder."
        )
    return content[TAR_BLOCK:]


def read_bytes(path: Path | str, *, limit: int = MAX_BYTES) -> bytes:
    """Read a whole file; see `open_file`."""
    content = bytearray()
    with open_file(path, limit=limit) as file, _explained(path):
        while part := file.read(1 << 20):
            content += part
            if len(content) > limit:  # files below /proc do not tell their size
                raise SalignError(f"{path}: a file of this kind has at most {_megabytes(limit)}")
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

    That of a part of a shard is that of the shard; of a URL see `salign.location.remote_state`.

    Raises:
        SalignError: there is no such file, or it cannot be looked at.
    """
    if (member := member_of(path)) is not None:
        return file_state(member.shard)
    if is_remote(path):
        return remote_state(path)
    with _explained(path):
        state = Path(path).stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


@functools.lru_cache(maxsize=200_000)
def _digest_of(path: str, *state: int) -> str:
    return file_digest(path)


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits; the file may be of any size.

    Raises:
        SalignError: as `open_file`.
    """
    with open_file(path, limit=None) as file, _explained(path):
        return hashlib.file_digest(file, "sha256").hexdigest()
