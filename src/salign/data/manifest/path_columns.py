"""Questions about columns of paths, answered in Arrow, so that ten million names need no Python object each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from salign.location import MEMBER, is_remote, remote_files

_PARTS = r"^(?P<folder>(?:[^/]+/)*)(?P<file>[^/]+)$"
_ODD = r"(^|/)\.{1,2}(/|$)|^[A-Za-z]:|\x00"
"""Matches names that have to be looked up one by one, because they may leave the root."""
_WORTH_A_LISTING = 64
"""From this number of names in a folder on, listing the folder is faster than looking up each name."""


def as_arrow(column: pd.Series) -> pa.ChunkedArray:
    """Return a column without its empty cells as Arrow's large strings, since ten million paths may exceed 2 GB."""
    array = pa.array(column.array)
    chunked = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return chunked.drop_null().cast(pa.large_string())


def different_files(column: pd.Series) -> pa.Array:
    """Return the names of the files in a column, each once; a part of a shard counts as its shard."""
    names = as_arrow(column)
    if pc.any(pc.match_substring(names, ".tar@")).as_py():
        names = pc.replace_substring_regex(names, MEMBER, ".tar")
    return pc.unique(names)


def in_shards(column: pd.Series) -> np.ndarray:
    """Return `(N,)` bool: whether each cell names a part of a shard."""
    return column.str.contains(".tar@", regex=False).fillna(False).to_numpy(dtype=bool)


def not_ascii(column: pd.Series) -> list[str]:
    """Return the different names with characters outside of ASCII, which may have several forms in Unicode."""
    names = as_arrow(column)
    return pc.unique(names.filter(pc.invert(pc.string_is_ascii(names)))).to_pylist()


def folders_of(column: pd.Series) -> list[str]:
    """Return the folders of the files in a column, and the shards that its parts of shards lie in, each once."""
    names = different_files(column)
    shards = pc.ends_with(names, ".tar")
    folders = pc.unique(pc.replace_substring_regex(names.filter(pc.invert(shards)), r"[^/]*$", ""))
    return [*folders.to_pylist(), *names.filter(shards).to_pylist()]


def doubtful(names: pa.Array, root: Path) -> list[str]:
    """Return the names that still have to be looked up one by one; all others are files inside of the root.

    A folder with at least `_WORTH_A_LISTING` of the names is listed once, to find out which of them are files. The
    names in smaller folders are all returned.

    Args:
        names: paths, each of them once.
        root: folder that the paths are relative to, with no link in its own path.
    """
    parts = pc.extract_regex(names, _PARTS)
    plain = pc.and_(parts.is_valid(), pc.invert(pc.match_substring_regex(names, _ODD)))
    sound = np.zeros(len(names), dtype=bool)
    positions = np.flatnonzero(plain.to_numpy(zero_copy_only=False))
    folders, files = (parts.field(part).take(pa.array(positions)) for part in ("folder", "file"))
    codes = folders.dictionary_encode()
    numbers = codes.indices.to_numpy()
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(len(codes.dictionary) + 1))
    for number, folder in enumerate(codes.dictionary.to_pylist()):
        members = order[bounds[number] : bounds[number + 1]]
        if len(members) >= _WORTH_A_LISTING or is_remote(root):
            there = pa.array(_regular_files(root / folder, root), type=pa.large_binary())
            here = files.take(pa.array(members)).cast(pa.large_binary())
            sound[positions[members]] = pc.is_in(here, there).to_numpy(zero_copy_only=False)
    return names.filter(pa.array(~sound)).to_pylist()


def _regular_files(folder: Path, root: Path) -> Iterator[bytes]:
    """Yield the names of the files in a folder, without links; nothing if the folder is outside of the root."""
    if is_remote(root):
        yield from map(os.fsencode, remote_files(folder))
        return
    try:
        if folder.resolve().is_relative_to(root):
            with os.scandir(os.fsencode(folder)) as entries:
                yield from (entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:
        return
