"""Columns of paths as Arrow has them: questions about ten million names without a Python object for each."""

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
"""In a name that has to be looked at by itself: it may leave the root."""
_WORTH_A_LISTING = 64
"""Names in a folder from which on listing it is faster than looking at each."""


def as_arrow(column: pd.Series) -> pa.ChunkedArray:
    """A column of texts without its empty cells, as large texts: ten million paths may have more than 2 GB."""
    array = pa.array(column.array)
    chunked = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return chunked.drop_null().cast(pa.large_string())


def different_files(column: pd.Series) -> pa.Array:
    """The names of files in a column, each once; of parts of shards, those of the shards."""
    names = as_arrow(column)
    if pc.any(pc.match_substring(names, ".tar@")).as_py():
        names = pc.replace_substring_regex(names, MEMBER, ".tar")
    return pc.unique(names)


def in_shards(column: pd.Series) -> np.ndarray:
    """`(N,)` bool: which cells name parts of shards."""
    return column.str.contains(".tar@", regex=False).fillna(False).to_numpy(dtype=bool)


def not_ascii(column: pd.Series) -> list[str]:
    """The different names in which a character has several forms in Unicode."""
    names = as_arrow(column)
    return pc.unique(names.filter(pc.invert(pc.string_is_ascii(names)))).to_pylist()


def folders_of(column: pd.Series) -> list[str]:
    """The folders of the files in a column, and the shards of parts of shards, each once."""
    names = different_files(column)
    shards = pc.ends_with(names, ".tar")
    folders = pc.unique(pc.replace_substring_regex(names.filter(pc.invert(shards)), r"[^/]*$", ""))
    return [*folders.to_pylist(), *names.filter(shards).to_pylist()]


def doubtful(names: pa.Array, root: Path) -> list[str]:
    """The names that are not simply those of files inside of the root; a folder of many is listed once.

    Args:
        names: different ones.
        root: folder that they are relative to, with no link in its path.
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
    """Names of the files in a folder inside of the root; links are none."""
    if is_remote(root):
        yield from map(os.fsencode, remote_files(folder))
        return
    try:
        if folder.resolve().is_relative_to(root):
            with os.scandir(os.fsencode(folder)) as entries:
                yield from (entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:
        return
