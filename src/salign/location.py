"""Where a file lies: on this machine, behind a URL that fsspec knows (`s3://`, `gs://`), or inside of a shard.

All three are a `Path`, so that code that joins, splits and shows paths need not tell them apart. A URL loses one of its
slashes in a `Path` (`s3:/bucket/a.png`) and gets it back here. A file in a shard is named by the bytes that it takes up
there: `000000.tar@1536+20480/a.jpg` has the 20,480 bytes after the first 1,536.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from salign.errors import SalignError

MEMBER = r"\.tar@(\d+)\+(\d+)/([^/]*)$"
"""Pattern of the end of a path into a shard: where the file's bytes begin, how many there are, and its name."""
TAR_BLOCK = 512
"""Bytes of the header in front of each file in a shard."""
_MEMBER = re.compile(MEMBER)
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}(?=[^/])")
"""Pattern of the beginning of a URL; a single letter before the colon is a Windows drive, and no URL."""
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "hf": "huggingface_hub",
}
"""Protocol -> the package that fsspec needs for it."""


class Member(NamedTuple):
    """A file inside of a shard: the shard, the byte where the file begins, how many bytes it has, and its name."""

    shard: Path
    offset: int
    size: int
    name: str


def member_of(path: Path | str) -> Member | None:
    """Return the file inside of a shard that a path names; None for any other path."""
    text = path.as_posix() if isinstance(path, Path) else path
    if ".tar@" not in text or (match := _MEMBER.search(text)) is None:
        return None
    offset, size, name = match.groups()
    return Member(Path(text[: match.start()] + ".tar"), int(offset), int(size), name)


def quote(word: Path | str) -> str:
    """Return a word as it is typed in a command: in quotes if the shell would split it or change it otherwise."""
    text = str(word)
    if os.name == "nt":  # the shells of Windows do not understand how shlex quotes a backslash
        return f'"{text}"' if " " in text else text
    return shlex.quote(text)


def command_of(words: Iterable[Path | str]) -> str:
    """Return a command as it is typed: its words, each quoted by `quote`, with spaces between them."""
    return " ".join(map(quote, words))


def is_remote(path: Path | str) -> bool:
    """Return whether a path is a URL; `file:///a`, a file of this machine, is a URL until `absolute` makes it `/a`."""
    return _REMOTE.match(path.as_posix() if isinstance(path, Path) else path) is not None


def absolute(path: Path | str) -> Path:
    """Return the absolute path with links followed; `file:///a` becomes `/a`, and any other URL stays as it is."""
    text = path.as_posix() if isinstance(path, Path) else path
    if (match := _REMOTE.match(text)) is None:
        return Path(path).resolve()
    return Path("/" + text[match.end() :]).resolve() if match[1] == "file" else Path(text)


def absolute_text(path: str) -> str:
    """Return the text of `absolute(path)`; a URL other than `file://` stays as it was written."""
    file = absolute(path)
    return path if is_remote(file) else str(file)


def url_text(path: Path | str) -> str:
    """Return a path as text for a message, in which a URL has both of its slashes again."""
    text = path.as_posix() if isinstance(path, Path) else path
    match = _REMOTE.match(text)
    return text if match is None else f"{match[1]}://{text[match.end() :]}"


def refuse_url(path: Path | str) -> None:
    """Refuse a URL as a place to write to.

    Raises:
        SalignError: `path` is a URL.
    """
    if is_remote(path):
        raise SalignError(
            f"{url_text(path)} cannot be written to: images, maps and manifests are read from there, and what salign "
            "writes goes to a folder of this machine. Give one, and copy it when it is done."
        )


def exists(path: Path | str) -> bool:
    """Return whether a file or folder exists at a path or behind a URL.

    Raises:
        SalignError: the URL cannot be reached.
    """
    if not is_remote(path):
        return Path(path).exists()
    with _explained(path) as (system, name):
        return bool(system.exists(name))


def remote_files(folder: Path | str) -> list[str]:
    """Return the names of the files in a folder behind a URL; an empty list if the folder does not exist.

    Raises:
        SalignError: the bucket does not exist, or the folder cannot be reached or may not be listed.
    """
    with _explained(folder) as (system, name):
        try:
            entries = system.ls(name, detail=True)
        except FileNotFoundError:
            if not system.exists(name.strip("/").split("/")[0]):
                raise
            return []
    return [entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "file"]


def open_remote(path: Path | str) -> BytesIO:
    """Read a file behind a URL into memory, and return its bytes as an open file.

    Raises:
        SalignError: the file does not exist, may not be read, or cannot be reached.
    """
    with _explained(path) as (system, name):
        return BytesIO(system.cat_file(name))


def read_range(path: Path | str, start: int, end: int) -> bytes:
    """Read the bytes from `start` up to, and without, `end` of a file behind a URL.

    Raises:
        SalignError: as for `open_remote`.
    """
    with _explained(path) as (system, name):
        content: bytes = system.cat_file(name, start=start, end=end)
        return content


@functools.lru_cache(maxsize=1_000_000)
def remote_state(path: Path | str) -> tuple[int, int, int]:
    """Return the size in bytes of a file behind a URL, a number that changes with its content, and 0.

    The server is asked once in a process.

    Raises:
        SalignError: as for `open_remote`.
    """
    with _explained(path) as (system, name):
        size = int(system.info(name)["size"] or 0)
        key = hashlib.sha256(str(system.ukey(name)).encode()).digest()
    return size, int.from_bytes(key[:7], "big"), 0


@contextmanager
def _explained(path: Path | str) -> Iterator[tuple[Any, str]]:
    """Yield the file system of a URL and the file's name there; errors within the block become a `SalignError`."""
    import fsspec

    url = url_text(path)
    try:
        protocol = url.partition("://")[0]
        yield fsspec.filesystem(protocol), fsspec.core.strip_protocol(url)
    except SalignError:
        raise
    except FileNotFoundError as error:
        raise SalignError(f"no such file: {url}") from error
    except PermissionError as error:
        raise SalignError(
            f"{url}: may not be read ({error}). Check the credentials that {protocol} takes from the environment, and "
            "the permissions of the bucket."
        ) from error
    except (ImportError, ValueError) as error:
        hint = f"pip install {_PACKAGES[protocol]}" if protocol in _PACKAGES else "see the list of fsspec"
        raise SalignError(f"{url}: {protocol}:// cannot be opened here ({error}); {hint}.") from error
    except Exception as error:  # the library of each protocol has its own classes of errors
        what = "no answer in time" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
        raise SalignError(
            f"{url}: cannot be reached: {what}. Check the network, the name and the credentials, and try again."
        ) from error
