"""The index of a folder of shards: how large each is, how many rows lie in it, and the SHA-256 of its bytes."""

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
"""Its name, beside the shards."""


class Shard(BaseModel):
    """What the index says of a shard."""

    rows: int
    bytes: int
    sha256: str


class ShardIndex(BaseModel):
    """The index of a folder of shards."""

    version: int = 1
    rows: int
    shards: dict[str, Shard]
    """By the name of the file."""


def shard_of(path: Path) -> Shard | None:
    """What the index beside a shard says of it; None without an index, or where it does not know that name.

    Raises:
        SalignError: the index is damaged.
    """
    index = path.with_name(INDEX)
    if not index.is_file():
        return None
    return _read_index(index, file_state(index)).shards.get(path.name)


def shard_faults(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Which of these shards, by names relative to `root`, are not as large as their index says, and what is wrong.

    Behind a URL nothing is looked at; a part of a shard that is not where it should be is told when it is read.
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
