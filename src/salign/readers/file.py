"""Opening untrusted files: `open_file` gives a regular file of bounded size or raises an error, and never blocks."""

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
"""Default limit in bytes: a larger file is refused before it is read. A reader may set another limit."""

_RACY_SECONDS = 2
"""The coarsest resolution, in seconds, with which some file systems record the time of a change."""
_OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_file(path: Path | str, *, limit: int | None = MAX_BYTES) -> BufferedReader | BytesIO:
    """Open a file to read its bytes: a regular file, a file behind a URL, or a member of a shard.

    See `salign.location` for the paths of URLs and of members of shards.

    Args:
        path: the file. Links are followed.
        limit: the largest number of bytes that the file may have; None sets no limit.

    Raises:
        SalignError: there is no such file, it is a folder, a pipe, a device or a socket, it is larger than `limit`, or
            it cannot be opened. For a member of a shard also: the shard is truncated, or the shard holds something
            else at the position that the path gives.
    """
    if (member := member_of(path)) is not None:
        _check_size(path, member.size, limit)
        return BytesIO(_member_bytes(member))
    if is_remote(path):
        _check_size(path, remote_state(path)[0], limit)
        return open_remote(path)
    with _explained(path):
        _check_kind(path, Path(path).stat())
        # If a pipe has taken the file's place since the check above, open() would wait for a writer. With O_NONBLOCK
        # it does not wait.
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
    """Turn errors of the operating system into a `SalignError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise SalignError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise SalignError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _member_bytes(member: Member) -> bytes:
    """Return the bytes of a member of a shard, after checking that the tar header before them has its name and size."""
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
    """Read a whole file of at most `limit` bytes; for the paths and errors see `open_file`."""
    content = bytearray()
    with open_file(path, limit=limit) as file, _explained(path):
        while part := file.read(1 << 20):
            content += part
            if len(content) > limit:  # files in /proc report a size of 0, so `open_file` cannot check it
                raise SalignError(f"{path}: a file of this kind has at most {_megabytes(limit)}")
    return bytes(content)


def read_text(path: Path | str, *, limit: int = MAX_BYTES) -> str:
    """Read a whole text file of at most `limit` bytes, UTF-8 with or without a byte order mark; see `open_file`."""
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
    """Return the `file_digest` of a file from a cache; the file is read again only if it has changed.

    A change is recognised by `file_state`. A file that was changed within the last `_RACY_SECONDS` is always read,
    because a further change may leave its size and times as they are.
    """
    size, modified, changed = file_state(path)
    if abs(time.time() - modified / 1e9) < _RACY_SECONDS:
        return file_digest(path)
    return _digest_of(str(path), size, modified, changed)


def file_state(path: Path | str) -> tuple[int, int, int]:
    """Return numbers that differ when a file has changed: its size in bytes, and its mtime and ctime in nanoseconds.

    For a member of a shard they are those of the shard; for a URL see `salign.location.remote_state`.

    Raises:
        SalignError: there is no such file, or its state cannot be read.
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
    """Return the SHA-256 digest of a file of any size, in hexadecimal digits.

    Raises:
        SalignError: as for `open_file`.
    """
    with open_file(path, limit=None) as file, _explained(path):
        return hashlib.file_digest(file, "sha256").hexdigest()
