"""The index of a folder of shards: the size, the number of rows and the SHA-256 of each shard."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from salign.errors import SalignError
from salign.location import is_remote
from salign.readers import file_state, read_json

INDEX = "shards.json"
"""Name of the index file, which lies beside the shards."""


class Shard(BaseModel):
    """The entry of one shard in the index."""

    rows: int
    bytes: int
    sha256: str


class ShardIndex(BaseModel):
    """The index of a folder of shards."""

    version: int = 1
    rows: int
    shards: dict[str, Shard]
    """The entry of each shard, by the name of its file."""


def shard_of(path: Path) -> Shard | None:
    """Return the entry of a shard in the index beside it, or None if there is no index or no entry of that name.

    Raises:
        SalignError: the index is damaged.
    """
    index = path.with_name(INDEX)
    if not index.is_file():
        return None
    return _read_index(index, file_state(index)).shards.get(path.name)


def shard_faults(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Find the shards whose size is not the size in their index.

    Nothing is checked if the root is behind a URL; a part of a shard that is not where it should be is then reported
    when it is read.

    Args:
        root: the root of the manifest.
        names: paths of the shards, relative to `root`.

    Returns:
        Name of a shard -> what is wrong with it, for the shards with a fault.

    Raises:
        SalignError: an index is damaged.
    """
    faults = {}
    for name in () if is_remote(root) else names:
        if (shard := shard_of(root / name)) is not None and (size := file_state(root / name)[0]) != shard.bytes:
            faults[name] = (
                f"the shard {root / name} has {size:,} bytes and had {shard.bytes:,} when {INDEX} was written: it was "
                f"{'cut' if size < shard.bytes else 'changed'}; copy it again"
            )
    return faults


@functools.lru_cache(maxsize=16)
def _read_index(path: Path, state: tuple[int, int, int]) -> ShardIndex:
    content: Any = read_json(path)
    try:
        return ShardIndex.model_validate(content)
    except ValidationError as error:
        raise SalignError(f"{path} is damaged: {str(error).splitlines()[0]}; copy it again with its shards.") from error
