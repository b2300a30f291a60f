"""Where a file lies: on this machine, behind a URL that fsspec knows (`s3://`, `gs://`), or inside of a shard.

All three are a `Path`, so that whatever joins, parts and shows paths need not know: a URL loses one of its slashes
(`s3:/bucket/a.png`) and gets it back here, and what lies in a shard is called by the bytes that it takes up there
(`000000.tar@1536+20480/a.jpg`: 20,480 bytes after the first 1,536).
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
"""The end of the name of a part of a shard: where its bytes begin, how many there are, and its name."""
TAR_BLOCK = 512
"""Bytes of the header in front of a part of a shard."""
_MEMBER = re.compile(MEMBER)
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}(?=[^/])")
"""How a URL begins; a single letter is a Windows drive."""
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "hf": "huggingface_hub",
}
"""What else fsspec needs for a protocol."""


class Member(NamedTuple):
    """A part of a shard."""

    shard: Path
    offset: int
    size: int
    name: str


def member_of(path: Path | str) -> Member | None:
    """The part of a shard that a path names; None of any other path."""
    text = path.as_posix() if isinstance(path, Path) else path
    if ".tar@" not in text or (match := _MEMBER.search(text)) is None:
        return None
    offset, size, name = match.groups()
    return Member(Path(text[: match.start()] + ".tar"), int(offset), int(size), name)


def quote(word: Path | str) -> str:
    """A path or another word as it is typed in a command: in quotes if a space or another sign would part it."""
    text = str(word)
    if os.name == "nt":  # neither of its shells knows what shlex does to a backslash
        return f'"{text}"' if " " in text else text
    return shlex.quote(text)


def command_of(words: Iterable[Path | str]) -> str:
    """The words of a command as they are typed, each as `quote` gives it."""
    return " ".join(map(quote, words))


def is_remote(path: Path | str) -> bool:
    """Whether a path is a URL; that of a file of this machine, `file:///a`, is one until `absolute` makes it `/a`."""
    return _REMOTE.match(path.as_posix() if isinstance(path, Path) else path) is not None


def absolute(path: Path | str) -> Path:
    """A path from the root of this machine on, with its links followed; a URL stays, and `file:///a` is `/a`."""
    text = path.as_posix() if isinstance(path, Path) else path
    if (match := _REMOTE.match(text)) is None:
        return Path(path).resolve()
    return Path("/" + text[match.end() :]).resolve() if match[1] == "file" else Path(text)


def absolute_text(path: str) -> str:
    """The same as text; a URL stays as it was written."""
    file = absolute(path)
    return path if is_remote(file) else str(file)


def url_text(path: Path | str) -> str:
    """A path in a message: a URL has both of its slashes."""
    text = path.as_posix() if isinstance(path, Path) else path
    match = _REMOTE.match(text)
    return text if match is None else f"{match[1]}://{text[match.end() :]}"


def refuse_url(path: Path | str) -> None:
    """Refuse a URL where something is to be written.

    Raises:
        SalignError: `path` is one.
    """
    if is_remote(path):
        raise SalignError(
            f"{url_text(path)} cannot be written to: images, maps and manifests are read from there, and what salign "
            "writes goes to a folder of this machine. Give one, and copy it when it is done."
        )


def exists(path: Path | str) -> bool:
    """Whether there is a file or folder.

    Raises:
        SalignError: a URL cannot be reached.
    """
    if not is_remote(path):
        return Path(path).exists()
    with _explained(path) as (system, name):
        return bool(system.exists(name))


def remote_files(folder: Path | str) -> list[str]:
    """The names of the files in a folder behind a URL; none where there is no such folder.

    Raises:
        SalignError: it cannot be reached, or may not be listed.
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
    """Open a file behind a URL to read its bytes.

    Raises:
        SalignError: it is not there, may not be read, or cannot be reached.
    """
    with _explained(path) as (system, name):
        return BytesIO(system.cat_file(name))


def read_range(path: Path | str, start: int, end: int) -> bytes:
    """Read these bytes of a file behind a URL; see `open_remote`."""
    with _explained(path) as (system, name):
        content: bytes = system.cat_file(name, start=start, end=end)
        return content


@functools.lru_cache(maxsize=1_000_000)
def remote_state(path: Path | str) -> tuple[int, int, int]:
    """Bytes of a file behind a URL, and a number that another content has another one of; asked once in a process.

    Raises:
        SalignError: as `open_remote`.
    """
    with _explained(path) as (system, name):
        size = int(system.info(name)["size"] or 0)
        key = hashlib.sha256(str(system.ukey(name)).encode()).digest()
    return size, int.from_bytes(key[:7], "big"), 0


@contextmanager
def _explained(path: Path | str) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the name there; whatever its library raises is told in one sentence."""
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
    except Exception as error:  # each protocol's library has errors of its own
        what = "no answer in time" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
        raise SalignError(
            f"{url}: cannot be reached: {what}. Check the network, the name and the credentials, and try again."
        ) from error
